//! Other programs read what a run leaves: TensorBoard, trackio, pandas, Optuna, DVC. Each test skips where its program
//! is missing.

use std::process::Command;

use serde_json::Value;

use crate::harness::{Lab, bare, python, read, wait_until};

/// A lab with the sweep `runs/p`: two learning rates, two seeds.
fn swept() -> Lab {
    let lab = Lab::new();
    let probes = "[[probe]]\nname = \"nll\"\nevery = 20\npoints = 16\nitems = 50\nsamples = 20\n";
    lab.write("c.toml", &(bare("ml_grid", 40) + probes));
    lab.write("p.toml", "config = \"c.toml\"\nseeds = 2\n[grid]\n\"optim.lr\" = [1e-3, 1e-2]\n");
    lab.ok(&["-q", "sweep", "p.toml", "--jobs", "1"]);
    lab
}

/// Scalars and pictures by the accumulator, the table by the plugin itself.
const TENSORBOARD: &str = r#"
import json, pathlib
from tensorboard.backend.event_processing import data_provider, event_accumulator, plugin_event_multiplexer
from tensorboard.context import RequestContext
from tensorboard.plugins import base_plugin
from tensorboard.plugins.hparams import api_pb2, backend_context, list_session_groups

runs = sorted(p.parent for p in pathlib.Path("runs/p").rglob("events.out.*"))
assert len(runs) == 4, runs
for run in runs:
    found = event_accumulator.EventAccumulator(str(run), size_guidance={"scalars": 0, "images": 0}).Reload()
    lines = [json.loads(line) for line in (run / "metrics.jsonl").open()]
    wanted = [(line["step"], line["test_ll"]) for line in lines if "test_ll" in line]
    read = [(event.step, event.value) for event in found.Scalars("probe/test_ll")]
    assert [step for step, _ in read] == [step for step, _ in wanted] == [20, 40], read
    assert all(abs(a[1] - b[1]) < 1e-5 * abs(b[1]) for a, b in zip(read, wanted))
    assert found.Tags()["images"], "no pictures"

events = plugin_event_multiplexer.EventMultiplexer().AddRunsFromDirectory("runs/p").Reload()
provider = data_provider.MultiplexerDataProvider(events, "runs/p")
context = backend_context.Context(base_plugin.TBContext(data_provider=provider))
asked, request = RequestContext(), api_pb2.ListSessionGroupsRequest(start_index=0, slice_size=100)
request.allowed_statuses.append(api_pb2.STATUS_SUCCESS)
for metric in ["probe/test_ll"]:
    request.col_params.add(metric=api_pb2.MetricName(tag=metric))
experiment = context.experiment_from_metadata(asked, "", True, context.hparams_metadata(asked, ""), 100)
columns = {info.name for info in experiment.hparam_infos}
assert columns == {"optim.lr", "seed"}, columns
assert "probe/test_ll" in {info.name.tag for info in experiment.metric_infos}
groups = list_session_groups.Handler(asked, context, "", request).run().session_groups
table = sorted((g.hparams["optim.lr"].number_value, g.hparams["seed"].number_value) for g in groups)
assert table == [(0.001, 0), (0.001, 1), (0.01, 0), (0.01, 1)], table
found = [value.value for g in groups for value in g.metric_values if value.name.tag == "probe/test_ll"]
assert len(found) == 4 and all(value < 0 for value in found), found
"#;

#[test]
fn tensorboard_shows_curves_pictures_and_a_sweep_as_a_table() {
    python(&["tensorboard"], TENSORBOARD, swept().path("").as_path());
}

/// Outside a sweep a run's columns are the keys of its configuration, and a run that diverged has failed.
const HPARAMS: &str = r#"
import glob
from tensorboard.backend.event_processing.event_file_loader import EventFileLoader
from tensorboard.plugins.hparams import plugin_data_pb2

def sessions(run):
    found = {}
    for path in sorted(glob.glob(f"{run}/events.out.*")):
        for event in EventFileLoader(path).Load():
            for value in event.summary.value:
                if value.metadata.plugin_data.plugin_name == "hparams":
                    content = plugin_data_pb2.HParamsPluginData.FromString(value.metadata.plugin_data.content)
                    found.setdefault(value.tag.split("/")[1], content)
    return found

good, bad = sessions("good"), sessions("bad")
given = good["session_start_info"].session_start_info.hparams
assert given["optim.lr"].number_value == 0.001 and given["method.name"].string_value == "lsd", given
assert given["guard.enabled"].bool_value and given["optim.betas"].string_value == "[0.9, 0.999]", given
assert good["session_end_info"].session_end_info.status == 1
assert bad["session_end_info"].session_end_info.status == 2
assert "session_end_info" not in sessions("stopped")
"#;

#[test]
fn a_run_tells_tensorboard_what_it_was_given_and_how_it_ended() {
    let lab = Lab::new();
    lab.write("c.toml", &bare("lsd", 20));
    lab.ok(&["-q", "train", "c.toml", "--run-dir", "good"]);
    let wild = ["-q", "train", "c.toml", "--run-dir", "bad", "--set", "optim.lr=1e9"];
    lab.refused(3, &wild, &["diverged"]);
    let mut child = lab.spawn(&["train", "c.toml", "--run-dir", "stopped", "--set", "train.steps=1000000"]);
    let begun = || std::fs::metadata(lab.path("stopped/metrics.jsonl")).is_ok_and(|log| log.len() > 0);
    wait_until("a run under way", begun);
    assert!(Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap().success());
    assert_eq!(child.wait().unwrap().code(), Some(130));
    python(&["tensorboard"], HPARAMS, lab.path("").as_path());
}

const TRACKIO: &str = r#"
import os
os.environ["TRACKIO_DIR"] = os.path.join(os.getcwd(), "trackio")
import trackio
from trackio.sqlite_storage import SQLiteStorage
trackio.import_tf_events(log_dir="runs/p", project="toy")
runs = SQLiteStorage.get_runs("toy")
assert len(runs) == 4, runs
logs = SQLiteStorage.get_logs("toy", runs[0])
assert any(key.endswith("test_ll") for line in logs for key in line), logs
"#;

#[test]
fn trackio_imports_the_event_files_of_a_sweep() {
    python(&["trackio", "tbparse"], TRACKIO, swept().path("").as_path());
}

const PANDAS: &str = r#"
import json, pandas
log = pandas.read_json("runs/p.jsonl", lines=True, precise_float=True)
lines = [json.loads(line) for line in open("runs/p.jsonl")]
assert list(log["step"]) == [line["step"] for line in lines] and log["loss"].isna().sum() == 1
assert log["test_ll"].dropna().iloc[-1] == lines[-1]["test_ll"]
times = pandas.read_json("timing.jsonl", lines=True)
assert times["seconds"].is_monotonic_increasing and len(times) == len(log)
table = pandas.read_csv("runs.csv")
assert list(table.columns) == ["name", "optim.lr", "test_ll"] and len(table) == 4 and table["test_ll"].lt(0).all()
"#;

#[test]
fn pandas_reads_the_logs_and_the_list() {
    let lab = swept();
    let runs = lab.json(&["ls", "--columns", "run"]);
    let run = lab.path(runs[0]["run"].as_str().unwrap());
    // What is not finite is null, and missing for pandas.
    let log = String::from_utf8(read(&run.join("metrics.jsonl"))).unwrap();
    let lines: Vec<String> = log.lines().map(|line| line.replacen("{\"step\":", "{\"loss\":0,\"step\":", 1)).collect();
    let holed = lines.join("\n").replacen("\"loss\":0", "\"loss\":null", 1);
    lab.write("runs/p.jsonl", &(holed + "\n"));
    std::fs::copy(run.join("timing.jsonl"), lab.path("timing.jsonl")).unwrap();
    lab.write("runs.csv", &lab.ok(&["ls", "--columns", "name,optim.lr,test_ll", "--format", "csv"]));
    python(&["pandas"], PANDAS, lab.path("").as_path());
}

const OPTUNA: &str = r#"
import json, optuna, subprocess, sys
def search(runs, trials, low, high):
    words = [sys.executable, "search.py", "c.toml", "lsd", "--float", f"optim.lr={low}:{high}:log", "--runs", runs]
    done = subprocess.run([*words, "--trials", str(trials)], stdout=subprocess.PIPE, text=True, check=True)
    study = optuna.load_study(study_name="ebm", storage=f"sqlite:///{runs}/study.db")
    return done.stdout, [trial.state.name for trial in study.trials], study
said, states, study = search("runs/calm", 2, 1e-3, 1e-2)
assert states == ["COMPLETE"] * 2 and json.loads(said)["value"] == study.best_value, (said, states)
_, states, _ = search("runs/calm", 1, 1e-3, 1e-2)
assert states == ["COMPLETE"] * 3, states
said, states, _ = search("runs/wild", 1, 1e9, 1e10)
assert states == ["FAIL"] and said == "", (said, states)
"#;

#[test]
fn optuna_asks_trains_and_is_told() {
    let lab = Lab::new();
    lab.write("c.toml", &bare("lsd", 20));
    lab.write("search.py", include_str!("../../scripts/optuna_search.py"));
    let programme = format!("import os\nos.environ[\"EBM\"] = {:?}\n{OPTUNA}", env!("CARGO_BIN_EXE_ebm"));
    python(&["optuna"], &programme, lab.path("").as_path());
}

const DVC: &str = r#"
import json, subprocess, sys
def dvc(*words):
    done = subprocess.run([sys.executable, "-m", "dvc", *words], stdout=subprocess.PIPE, text=True, check=True)
    return done.stdout
dvc("init", "--no-scm", "-q")
found = json.loads(dvc("metrics", "show", "--json", "metrics.json", "run/manifest.json"))
files = found[""]["data"]
told, manifest = files["metrics.json"]["data"], files["run/manifest.json"]["data"]
assert told["metrics"]["lsd"] == manifest["last_metrics"]["lsd"] == json.load(open("metrics.json"))["metrics"]["lsd"]
assert manifest["seed"] == 0 and told["step"] == 20
"#;

#[test]
fn dvc_shows_the_numbers_of_a_run() {
    let lab = Lab::new();
    lab.write("c.toml", &bare("lsd", 20));
    let told: Value = lab.json(&["-q", "train", "c.toml", "--run-dir", "run"]);
    lab.write("metrics.json", &told.to_string());
    python(&["dvc"], DVC, lab.path("").as_path());
}
