"""A training and, without a config, an evaluation for the tests of studies. The training counts to `steps`, goes on
where it stopped, and leaves on SIGTERM with exit code 75; the evaluation writes down `value` and the seed."""

import json
import pathlib
import signal
import sys
import time

flags = dict(argument.lstrip("-").split("=", 1) for argument in sys.argv[1:])
workdir = pathlib.Path(flags["workdir"])
if "config" not in flags:
    config = json.loads((workdir / "config.json").read_text())
    (workdir / "report.json").write_text(json.dumps(float(config["config.value"]) + int(config["config.seed"]) ** 2))
    sys.exit(0)
stopped = []
signal.signal(signal.SIGTERM, lambda *_: stopped.append(True))
(workdir / "config.json").write_text(json.dumps(flags))
state = workdir / "state"
done = int(state.read_text()) if state.exists() else 0
with open(workdir / "starts", "a") as file:
    file.write(f"{done}\n")
if flags.get("config.value") == "-1.":
    sys.exit("it cannot be done")
while done < int(flags.get("config.steps", 1)):
    if stopped:
        sys.exit(75)
    time.sleep(float(flags.get("config.pause", 0)))
    done += 1
    state.write_text(str(done))
