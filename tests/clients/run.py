"""Runs every client's tests against a server of the bundled model.

    run.py [PART..]     python, openai-2, node; all of them if none is named
"""

import os
import subprocess
import sys

from server import ROOT, TARGET, Server

FOLDER = ROOT / "tests/clients"
# Nobody is asked for anything: the clients would fetch tables and count calls.
OFFLINE = {
    "LITELLM_LOCAL_MODEL_COST_MAP": "True",
    "LITELLM_TELEMETRY": "False",
    "LANGSMITH_TRACING": "false",
    "HF_HUB_OFFLINE": "1",
    "HF_DATASETS_OFFLINE": "1",
    "HF_HOME": str(TARGET / "clients/hf"),
    "NO_PROXY": "127.0.0.1",
    "no_proxy": "127.0.0.1",
}
PYTEST = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--durations=5"]
NODE = ["node", "--test", "--test-concurrency=1", "--test-reporter=spec"]
PARTS = {
    "python": (PYTEST, {}),
    "openai-2": ([*PYTEST, *FOLDER.glob("test_openai*.py")], {"PYTHONPATH": str(TARGET / "clients/openai-2")}),
    "node": ([*NODE, *FOLDER.glob("*.test.mjs")], {}),
}
KEY = "the-right-one"


def main():
    failed = []
    with Server() as server, Server("--api-key", KEY) as guarded, Server("--slots", "1", "--queue", "1") as narrow:
        urls = {"TIEFSEE_URL": server.url, "TIEFSEE_GUARDED_URL": guarded.url, "TIEFSEE_NARROW_URL": narrow.url}
        for part in sys.argv[1:] or PARTS:
            command, environment = PARTS[part]
            print(f"clients: {part}", flush=True)
            if subprocess.run(command, cwd=FOLDER, env=os.environ | OFFLINE | urls | environment).returncode != 0:
                failed.append(part)
    if failed:
        sys.exit(f"clients: {', '.join(failed)} failed")


main()
