"""The commands by name, each with its summary for lists. A test compares the summaries with the docstrings."""

from latlas.commands.parsing.lazy import Listed

COMMANDS = (
    Listed(
        "doctor",
        "doctor.doctor",
        "Say whether this machine can measure now, what disturbs it and what to do, and how long measuring will take.",
        "latlas doctor --json",
    ),
    Listed(
        "profile-ops",
        "profile_ops.profile_ops",
        "Measure every operator of a space by itself, and write a table.",
        "latlas profile-ops --space portrait --resolution 256 --threads 1 --out table.parquet",
    ),
    Listed(
        "fit-predictor",
        "fit.fit_predictor_command",
        "Measure subnets and learn their latency; the figures come from further subnets.",
        "latlas fit-predictor --table table.parquet --subnets 150 --test 50 --out predictor",
    ),
    Listed(
        "predict",
        "predict.predict",
        "Predict end-to-end latency with an interval, or explain it layer by layer.",
        "latlas predict --predictor predictor --random 5 --json",
    ),
    Listed(
        "measure",
        "measure.measure_command",
        "Measure networks end to end, in turn, and say exactly what was measured; JSON: an object, or a list for several.",
        "latlas measure portrait/mobilenetv3_large runs/demo/winner.xml --threads 1",
    ),
    Listed(
        "train-supernet",
        "supernets.train_supernet_command",
        "Train a supernet by uniform single-path sampling. If it is stopped, the same command goes on.",
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
        "List the tables below a folder; it marks tables that cannot be read, and the exit code is then 3.",
        "latlas tables list tables",
    ),
    Listed(
        "show",
        "tables.tables_show",
        "Show a table: its origin, and a grid of its operators by place.",
        "latlas tables show table.parquet",
    ),
    Listed(
        "validate",
        "tables.tables_validate",
        "Check tables completely; exit code 3 if one is broken, warnings for doubtful values.",
        "latlas tables validate table.parquet",
    ),
    Listed(
        "diff",
        "tables.tables_diff",
        "List operators that changed beyond both intervals, the largest change first; exit code 1 if there are any.",
        "latlas tables diff before.parquet after.parquet",
    ),
    Listed(
        "merge",
        "tables.tables_merge",
        "Join tables of one environment. Rows are kept unchanged; rows that disagree are an error.",
        "latlas tables merge a.parquet b.parquet --out both.parquet",
    ),
    Listed(
        "import",
        "exchange.tables_import",
        "Make a table from another project's latencies; fields of their environment that are not given stay unknown.",
        "latlas tables import lut.yaml --cpu-model 'Intel Core i7-8700K' --out lut.parquet",
    ),
    Listed(
        "export",
        "exchange.tables_export",
        "Write a table as another project's file; rows without this latency are left out and counted.",
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
        "Put a table into a shared store. It uses the credentials of the store's own tools, such as AWS_PROFILE.",
        "latlas tables push table.parquet s3://team/latlas",
    ),
    Listed(
        "pull",
        "sharing.tables_pull",
        "Copy tables from a shared store and check each; if the store cannot be reached, from the cache.",
        "latlas tables pull s3://team/latlas --cpu intel-core-i7-8700",
    ),
)
PREDICTOR = (
    Listed(
        "show",
        "predictors.predictor_show",
        "Show a predictor: its origin, its errors, how often its intervals hold, and which operators cost most.",
        "latlas predictor show predictor --plot predictor.html",
    ),
    Listed(
        "adapt",
        "predictors.predictor_adapt",
        "Adapt predictors to another environment with a few subnets measured there; exit code 1 if they were too few.",
        "latlas predictor adapt --predictor predictor --threads 2 --out adapted",
    ),
)
