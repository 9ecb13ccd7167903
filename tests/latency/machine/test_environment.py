import json
from dataclasses import replace

import pytest

from latlas.errors import EnvironmentMismatchError, FileFormatError, UsageError
from latlas.latency.machine.environment import (
    KEY_FIELDS,
    Environment,
    MachineState,
    detect,
    device_slug,
    differing_fields,
    machine_state,
    require_same,
)
from tests.machines import I7


def test_environment_of_this_machine_goes_through_json():
    found = detect(
        threads=2,
        streams=1,
        precision="bf16",
        batch=1,
        openvino_version="2026.4.1",
        reference_id="ref-1",
        reference_ms=3,
    )
    assert Environment.from_record(json.loads(json.dumps(found.to_record()))) == found
    assert (found.threads, found.precision, found.reference_ms) == (2, "bf16", 3.0)
    assert found.logical_cpus and found.logical_cpus >= 1
    assert found.cpu_flags.split() == sorted(set(found.cpu_flags.split()))


def test_host_name_is_not_kept(monkeypatch):
    import platform

    monkeypatch.setattr(platform, "node", lambda: pytest.fail("the host's name was asked for"))
    names = set(I7.to_record())
    assert not any("host" in name or "node" in name for name in names)
    machine_state()


def test_key_fields_are_fields_and_the_session_is_not_among_them():
    assert set(KEY_FIELDS) < set(I7.to_record())
    later = replace(
        I7, reference_ms=2.9, started_at="2026-02-02T00:00:00+00:00", state=MachineState(governor="powersave")
    )
    assert differing_fields(I7, later) == {}
    require_same(I7, later, "merge")


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("cpu_model", "AMD EPYC 7763 64-Core Processor"),
        ("cpu_flags", "avx"),
        ("threads", 2),
        ("streams", 2),
        ("precision", "bf16"),
        ("batch", 4),
        ("openvino_version", "2026.5.0"),
        ("reference_id", "ref-2"),
    ],
)
def test_mismatch_names_field_and_both_values(field, value):
    other = replace(I7, **{field: value})
    assert differing_fields(I7, other) == {field: (getattr(I7, field), value)}
    with pytest.raises(EnvironmentMismatchError) as caught:
        require_same(I7, other, "merge a.parquet with b.parquet")
    require_same(I7, other, "use", but=(field,))
    for part in ("merge a.parquet with b.parquet", field, repr(getattr(I7, field)), repr(value)):
        assert part in str(caught.value)


def test_every_differing_field_is_named():
    with pytest.raises(EnvironmentMismatchError, match=r"threads is 1 and 2; precision is 'f32' and 'bf16'"):
        require_same(I7, replace(I7, threads=2, precision="bf16"), "merge")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"turboo": 1}, "unknown fields turboo"),
        ({"threads": "1"}, "field threads is '1'; it must be int"),
        ({"threads": True}, "field threads is True; it must be int"),
        ({"threads": 1.0}, "field threads is 1.0; it must be int"),
        ({"threads": 0}, "threads is 0; it must be a whole number of at least 1"),
        ({"reference_ms": 0}, "reference_ms is 0.0; it must be finite and positive"),
        ({"reference_ms": -1.0}, "reference_ms is -1.0"),
        ({"reference_ms": float("nan")}, "reference_ms is nan"),
        ({"reference_ms": float("inf")}, "reference_ms is inf"),
        ({"reference_ms": 10**400}, "reference_ms is 1000"),
        ({"reference_ms": "fast"}, "reference_ms is 'fast'; it must be float or nothing"),
        ({"precision": ""}, "precision is ''"),
        ({"cpu_model": "a\x1b[31mred"}, "cpu_model is 'a.x1b"),
        ({"started_at": "yesterday"}, "started_at is 'yesterday'"),
        ({"physical_cores": "six"}, "physical_cores is 'six'; it must be int or nothing"),
        ({"state": []}, "field state is"),
        ({"state": {"governor": 1}}, "field state has missing fields turbo"),
    ],
)
def test_record_is_read_strictly(change, message):
    with pytest.raises(FileFormatError, match=message):
        Environment.from_record(I7.to_record() | change, "t.parquet")


def test_missing_field_and_other_types_are_named():
    record = I7.to_record()
    del record["precision"]
    with pytest.raises(FileFormatError, match=r"^t\.parquet has missing fields precision$"):
        Environment.from_record(record, "t.parquet")
    with pytest.raises(FileFormatError, match="environment is list"):
        Environment.from_record([])


def test_impossible_argument_is_a_usage_error():
    with pytest.raises(UsageError, match="batch is 0"):
        replace(I7, batch=0)


@pytest.mark.parametrize(
    ("model", "slug"),
    [
        ("Intel(R) Core(TM) i7-8700 CPU @ 3.20GHz", "intel-core-i7-8700"),
        ("12th Gen Intel(R) Core(TM) i7-12700K", "intel-core-i7-12700k"),
        ("Intel(R) Xeon(R) Platinum 8370C CPU @ 2.80GHz", "intel-xeon-platinum-8370c"),
        ("Intel(R) Xeon(R) Processor", "intel-xeon"),
        ("AMD Ryzen 7 5700G with Radeon Graphics", "amd-ryzen-7-5700g"),
        ("AMD EPYC 7763 64-Core Processor", "amd-epyc-7763"),
        ("../../etc", "etc"),
        ("", "unknown-cpu"),
    ],
)
def test_device_slug(model, slug):
    assert device_slug(model) == slug
