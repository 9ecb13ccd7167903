from dataclasses import asdict, fields

import pytest

from latlas.errors import FileFormatError
from latlas.latency.machine.environment import UNKNOWN, Environment, MachineState, detect
from latlas.latency.table.manifest import Manifest
from latlas.latency.table.migrate import migrate_environment, migrate_manifest

STATE_OF_1 = ("governor", "turbo", "smt", "hypervisor", "affinity_cpus", "cpu_quota", "steal_share", "load_1m")


@pytest.fixture(scope="module")
def now():
    found = detect(
        threads=1,
        streams=1,
        precision="f32",
        batch=1,
        openvino_version="2026.4.1",
        openvino_build="2026.4.1-1-abc",
        reference_id="reference-1",
        reference_ms=0.5,
    )
    assert found.openvino_build == "2026.4.1-1-abc"
    return found


def of_version_1(environment):
    """The record that version 1 would have written."""
    record = environment.to_record()
    del record["openvino_build"]
    return record | {"state": {name: record["state"][name] for name in STATE_OF_1}}


def test_an_environment_of_version_1_keeps_what_it_says_and_knows_nothing_of_the_rest(now):
    old = Environment.from_record(migrate_environment(of_version_1(now)))
    assert old.key() == now.key()
    assert old.openvino_build == UNKNOWN
    assert {name: getattr(old.state, name) for name in STATE_OF_1} == {
        name: getattr(now.state, name) for name in STATE_OF_1
    }
    rest = [field.name for field in fields(MachineState) if field.name not in STATE_OF_1]
    assert len(rest) == 20 and {getattr(old.state, name) for name in rest} == {None}


def test_both_states_of_a_manifest_are_migrated(now):
    manifest = Manifest(now, "a reference", "portrait", "latlas", 0, end_state=now.state)
    record = manifest.to_record() | {"environment": of_version_1(now), "schema_version": 1}
    record["end_state"] = {name: getattr(now.state, name) for name in STATE_OF_1}
    for name in ("source", "in_network"):
        del record[name]
    read = Manifest.from_record(migrate_manifest(record))
    assert read.end_state == read.environment.state
    assert read.end_state is not None and read.end_state.load_1m == now.state.load_1m
    without = Manifest.from_record(migrate_manifest(record | {"end_state": None}))
    assert without.end_state is None


@pytest.mark.parametrize("environment", [None, [], "text", {}, {"state": None}, {"state": [1]}])
def test_what_is_no_environment_is_refused_and_does_not_crash(environment):
    with pytest.raises(FileFormatError):
        Environment.from_record(migrate_environment(environment))


def test_a_record_of_version_1_that_lacks_something_is_refused(now):
    record = of_version_1(now)
    del record["state"]["turbo"]
    with pytest.raises(FileFormatError, match="missing fields turbo"):
        Environment.from_record(migrate_environment(record))
    assert set(asdict(now.state)) > set(record["state"])
