"""Names of strategies, apart from what they are made of: the command line shows them without loading it."""

OPTUNA_STRATEGIES = ("optuna-grid", "optuna-random", "optuna-tpe", "optuna-gp", "optuna-nsgaii", "optuna-cmaes")
TRAINED_STRATEGIES = ("proxyless", "proxyless-adjacent")
"""Names of those that need a trained distribution in the context."""
PREDICTED_STRATEGIES = ("random", "near_best", "evolution", "evolution-ofa", "reinforce", "reinforce-adjacent")
"""Those that search over predicted quality too: they need nothing but evaluations, of which thousands cost little."""
STRATEGIES = (
    *PREDICTED_STRATEGIES,
    *TRAINED_STRATEGIES,
    *OPTUNA_STRATEGIES,
)
"""Names that `make_strategy` takes: those that look for the best network within the budget."""
FRONT_STRATEGIES = ("front-evolution", "front-nsgaii")
"""Names that it takes too: those that look for the best networks at all latencies up to the budget."""
SEARCHED_BY = (*STRATEGIES, *FRONT_STRATEGIES)
"""What a search may be asked for."""
