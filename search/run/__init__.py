"""One search from beginning to end. `pipeline.py` is its table of contents. Read the modules it calls in this order:

search_run   the task, and the run that every step gets
prepare      checks that everything fits together, and splits the images
folder       the run's folder with its journal (journal), from which a killed run continues
session      the budget, the fastest and slowest latency of the search, and its measurements (campaigns)
score        scores candidates by a supernet, or by short trainings on a backbone (proxy, rungs)
explore      tries candidates under the constraint: with a trained strategy (gradient_phase), by predicted quality
             (accuracy_phase), with other processes (shared), for a front (front)
finalists    measures the best anew and ranks them by short trainings
comparison   trains and exports winner and baseline (export), and measures the exported files
result       the record of the search, and the predictor after it learnt the measurements
"""
