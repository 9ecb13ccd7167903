"""OpenVINO is loaded without its telemetry, whoever runs it; each in a process of its own."""

import subprocess
import sys


def test_openvino_is_silent_without_a_home_folder(tmp_path):
    code = (
        "import pathlib, sys\n"
        "def home(): raise RuntimeError('Could not determine home directory.')\n"
        "pathlib.Path.home = home\n"
        "from latlas.latency.runtime.plugin import openvino_version\n"
        "assert openvino_version()\n"
        "assert 'openvino_telemetry' not in sys.modules\n"
        "import openvino_telemetry\n"  # whoever wants it may have it
    )
    done = subprocess.run([sys.executable, "-P", "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_telemetry_that_somebody_loaded_before_is_left_to_him():
    code = (
        "import openvino_telemetry, sys\n"
        "from latlas.latency.runtime import silence\n"
        "assert sys.modules['openvino_telemetry'] is openvino_telemetry\n"
        "start = openvino_telemetry.Telemetry.start_session\n"
        "with silence.telemetry_muted():\n"
        "    assert openvino_telemetry.Telemetry.start_session is not start\n"
        "assert openvino_telemetry.Telemetry.start_session is start\n"
    )
    done = subprocess.run([sys.executable, "-P", "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
