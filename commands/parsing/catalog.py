"""The commands by name, each with what lists show of it; a test holds them against the commands themselves."""

from latlas.commands.parsing.lazy import Listed

COMMANDS = (
    Listed(
        "doctor",
        "doctor.doctor",
        "Say whether this machine can measure now, what stands against it and what to do, and what measuring will cost.",
        "latlas doctor --json",
    ),
    Listed(
        "profile-ops",
        "profile_ops.profile_ops",
        "Measure every operator of a space by itself, and keep the result as a table.",
        "latlas profile-ops --space portrait --resolution 256 --threads 1 --out table.parquet",
    ),
    Listed(
        "fit-predictor",
        "fit.fit_predictor_command",
        "Measure subnets and learn their latency; the figures are of subnets that were not learnt from.",
        "latlas fit-predictor --table table.parquet --subnets 150 --test 50 --out predictor",
    ),
    Listed(
        "predict",
        "predict.predict",
        "Predict end-to-end latency with an interval, or say what it is made of.",
        "latlas predict --predictor predictor --random 5 --json",
    ),
    Listed(
        "measure",
        "measure.measure_command",
        "Measure networks end to end, in turn, and say what exactly was measured; JSON: an object, or a list for several.",
        "latlas measure portrait/mobilenetv3_large runs/demo/winner.xml --threads 1",
    ),
    Listed(
        "train-supernet",
        "supernets.train_supernet_command",
        "Train a supernet by uniform single-path sampling; stopped, the same command goes on.",
        "latlas train-supernet --data photos --steps 8000 --train-resolution 192 --out supernet.safetensors",
    ),
    Listed(
        "search",
        "searching.search",
        "Search a supernet under a hard latency budget; the winner is trained, exported and measured.",
        "latlas search --predictor predictor --supernet supernet.safetensors --budget-ms auto --out runs/first",
    ),
    Listed(
        "demo",
        "demo.demo",
        "The main job from nothing in about five minutes: a small search on drawn portraits.",
        "latlas demo --out runs/demo",
    ),
)
TABLES = (
    Listed(
        "list",
        "tables.tables_list",
        "List the tables below a folder; one that cannot be read is listed as that, and then the exit code is 3.",
        "latlas tables list tables",
    ),
    Listed(
        "show",
        "tables.tables_show",
        "Show a table: where it comes from, and its operators by place as a grid.",
        "latlas tables show table.parquet",
    ),
    Listed(
        "validate",
        "tables.tables_validate",
        "Check tables from top to bottom; exit code 3 where one is broken, warnings for what is hardly true.",
        "latlas tables validate table.parquet",
    ),
    Listed(
        "diff",
        "tables.tables_diff",
        "Operators that changed beyond both intervals, largest first; exit code 1 where there are any.",
        "latlas tables diff before.parquet after.parquet",
    ),
    Listed(
        "merge",
        "tables.tables_merge",
        "Join tables of one environment; rows are kept as they are, and those that disagree are an error.",
        "latlas tables merge a.parquet b.parquet --out both.parquet",
    ),
    Listed(
        "import",
        "exchange.tables_import",
        "Make a table of another project's latencies; what is not said of their environment stays unknown.",
        "latlas tables import lut.yaml --cpu-model 'Intel Core i7-8700K' --out lut.parquet",
    ),
    Listed(
        "export",
        "exchange.tables_export",
        "Write a table as another project's file; rows without such a latency are left out, and said.",
        "latlas tables export table.parquet --format ofa --out lut.yaml",
    ),
    Listed(
        "in-network",
        "in_network.tables_in_network",
        "Measure designed subnets, and add to each operator's row what it adds to a network's latency.",
        "latlas tables in-network table.parquet --subnets 100",
    ),
    Listed(
        "publish",
        "sharing.tables_publish",
        "Put a table into the folder of published tables, and bring its two indexes up to date.",
        "latlas tables publish table.parquet",
    ),
    Listed(
        "push",
        "sharing.tables_push",
        "Put a table into a shared store. Credentials are those of the store's own tools, such as AWS_PROFILE.",
        "latlas tables push table.parquet s3://team/latlas",
    ),
    Listed(
        "pull",
        "sharing.tables_pull",
        "Bring tables of a shared store here, each checked; from the cache where the store cannot be reached.",
        "latlas tables pull s3://team/latlas --cpu intel-core-i7-8700",
    ),
)
PREDICTOR = (
    Listed(
        "show",
        "predictors.predictor_show",
        "Where a predictor comes from, how good it is, how often its intervals hold, and which operators cost most.",
        "latlas predictor show predictor --plot predictor.html",
    ),
    Listed(
        "adapt",
        "predictors.predictor_adapt",
        "Adapt predictors to another environment with a few subnets measured there; exit code 1 says they were too few.",
        "latlas predictor adapt --predictor predictor --threads 2 --out adapted",
    ),
)
