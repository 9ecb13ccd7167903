"""A machine that tests take for theirs; those that need another change a field or two."""

from latlas.latency.machine.environment import Environment, MachineState

I7 = Environment(
    cpu_model="Intel(R) Core(TM) i7-8700 CPU @ 3.20GHz",
    cpu_flags="avx avx2 f16c fma sse4_2",
    logical_cpus=12,
    physical_cores=6,
    threads=1,
    streams=1,
    precision="f32",
    batch=1,
    openvino_version="2026.4.1",
    reference_id="ref-1",
    reference_ms=2.5,
    kernel="Linux 6.1",
    python_version="3.11.7",
    latlas_version="0.1.0",
    started_at="2026-01-02T03:04:05+00:00",
    state=MachineState(governor="performance", turbo=True, smt=True, hypervisor=False, affinity_cpus=12, load_1m=0.25),
)
"""As tests/data/table-v2.parquet has it."""
