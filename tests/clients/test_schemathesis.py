"""schemathesis: whatever the served OpenAPI file allows, and what it does not, is answered as it says."""

import os
import subprocess
import sys
from pathlib import Path

from server import TARGET

CHECKS = "not_a_server_error,status_code_conformance,content_type_conformance,response_schema_conformance"


def test_any_request_is_answered(url):
    command = [
        *(str(Path(sys.executable).with_name("schemathesis")), "run", url + "/openapi.json"),
        *("--checks", CHECKS, "--mode", "all", "--max-examples", "40", "--seed", "1"),
        *("--request-timeout", "60", "--continue-on-failure", "--no-color"),
    ]
    environment = os.environ | {"SCHEMATHESIS_HOOKS": "short_answers", "PYTHONPATH": str(Path(__file__).parent)}
    done = subprocess.run(
        command, cwd=TARGET / "clients", env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    assert done.returncode == 0, done.stdout
