# Copyright 2026 the syncdiff authors
# SPDX-License-Identifier: Apache-2.0
"""Times one step of the denoiser, batch 1, in ONNX Runtime, OpenVINO, PyTorch and syncdiff, side by side.

Every peer is a process of its own that sleeps except during its turn; a round is one turn of each, and a turn is some
timed calls after an untimed one. So other load on the machine affects all of them alike. Each has its own best
settings. All get the same weights and input, and are checked against PyTorch in f32. With --load each round runs twice,
the second time next to a busy process. Writes a .json, a .md and a .svg named --name. Run by meta/scripts/bench-peers,
which installs what it needs."""
import argparse
import importlib.metadata
import json
import multiprocessing
import os
import signal
import statistics
import subprocess
import sys
import time
import warnings
from pathlib import Path

ROOT = Path(__file__).parents[3]
TURN = 0.08  # s, approximate duration of a turn's timed calls
REST = 0.02  # s between turns, so that the last peer's threads fall asleep
TOO_SLOW = 5  # times the fastest: slower peers are called only three times, before the rounds, and are not in the chart
OURS = "syncdiff"
RIVALS = {"f32": ("ONNX Runtime", "OpenVINO"), "bf16": ("OpenVINO",)}


# peers: each returns a call and a remark

def onnx_runtime(precision, model, path, threads):
    import onnxruntime
    options = onnxruntime.SessionOptions()  # all optimisations, and threads that spin between operators, by default
    options.intra_op_num_threads = threads
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    return lambda inputs: session.run(None, inputs)[0], ""


def openvino(precision, model, path, threads):
    import openvino
    network = openvino.Core().compile_model(path, "CPU", {
        "PERFORMANCE_HINT": "LATENCY", "INFERENCE_NUM_THREADS": threads, "INFERENCE_PRECISION_HINT": precision})
    used = network.get_property("INFERENCE_PRECISION_HINT").to_string()
    request = network.create_infer_request()

    def call(inputs):
        return request.infer(inputs, share_inputs=True, share_outputs=True)[0]
    return call, "" if used == precision else f"this processor has no {precision}: OpenVINO computes in {used}"


def pytorch(precision, model, path, threads):
    """Traced and frozen, channels last, which is faster than eager mode."""
    import torch
    from convert.export import load
    from convert.onnx import networks
    torch.set_num_threads(threads)
    module, inputs = networks(load(model))["denoiser"]
    module = module.to(memory_format=torch.channels_last)
    bf16 = precision == "bf16"
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16, enabled=bf16, cache_enabled=False), \
            warnings.catch_warnings():
        warnings.simplefilter("ignore")  # tracing treats sizes as constants, which they are here
        traced = torch.jit.freeze(torch.jit.trace(module, tuple(inputs.values()), check_trace=False))

    def call(inputs):
        values = [torch.from_numpy(inputs[name]) for name in ("x", "t", "tokens", "prior")]
        values[0] = values[0].contiguous(memory_format=torch.channels_last)
        with torch.inference_mode():
            return traced(*values).float().numpy()
    emulated = bf16 and not {"avx512_bf16", "amx_bf16"} & processor()[1]
    return call, "this processor has no bf16: PyTorch emulates it" if emulated else ""


PEERS = {("ONNX Runtime", "f32"): onnx_runtime, ("OpenVINO", "f32"): openvino, ("OpenVINO", "bf16"): openvino,
         ("PyTorch", "f32"): pytorch, ("PyTorch", "bf16"): pytorch}


def serve(connection, peer, arguments):
    """A peer's process: replies to a number of calls with the seconds each took."""
    from safetensors.numpy import load_file
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent ends it
    model, folder, threads = arguments
    call, remark = PEERS[peer](peer[1], model, folder / "denoiser.onnx", threads)
    inputs = load_file(folder / "inputs.safetensors")
    connection.send((call(inputs), remark))
    while True:
        try:
            calls = connection.recv()
        except (EOFError, ConnectionResetError):  # the parent has ended
            return
        call(inputs)
        times = []
        for _ in range(calls):
            start = time.perf_counter()
            call(inputs)
            times.append(time.perf_counter() - start)
        connection.send(times)


class Peer:
    """A library in its own process."""

    def __init__(self, name, context, arguments):
        self.name = " ".join(name)
        self.connection, other = context.Pipe()
        self.process = context.Process(target=serve, args=(other, name, arguments), daemon=True)
        self.process.start()
        other.close()

    def ready(self):
        """Its output, and a remark."""
        try:
            return self.connection.recv()
        except (EOFError, ConnectionResetError):
            raise SystemExit(f"{self.name} has failed")

    def turn(self, calls):
        self.connection.send(calls)
        return self.ready()


class Ours:
    """`syncdiff bench denoiser`, started for each turn."""

    def __init__(self, precision, tool, arguments):
        model, self.folder, threads = arguments
        self.command = [tool, "bench", "denoiser", "--json", "--model", model, "--precision", precision, "--threads",
                        str(threads), "--measure", "network", "--inputs", self.folder / "hwc.safetensors"]

    def run(self, *more):
        done = subprocess.run([*self.command, *more], capture_output=True, text=True)
        if done.returncode:
            raise SystemExit(done.stderr.strip())
        return json.loads(done.stdout)

    def ready(self):
        from safetensors.numpy import load_file
        outputs = self.folder / "outputs.safetensors"
        report = self.run("--repeats", "1", "--outputs", outputs)
        return load_file(outputs)["f"].transpose(2, 0, 1)[None], f"{OURS} uses {report['isa']}"

    def turn(self, calls):
        return [1e-3 * ms for ms in self.run("--repeats", str(calls))["results"][0]["ms"]]


class Load:
    """A busy thread of another process, while it is enabled."""

    def __init__(self):
        self.process = subprocess.Popen([sys.executable, "-c", "while True: pass"])
        self.process.send_signal(signal.SIGSTOP)

    def __enter__(self):
        self.process.send_signal(signal.SIGCONT)

    def __exit__(self, *_):
        self.process.send_signal(signal.SIGSTOP)

    def end(self):
        self.process.kill()
        self.process.wait()


# ---------------------------------------------------------------- measuring

def processor():
    """The processor's name and flags."""
    fields = dict(line.split(":", 1) for line in Path("/proc/cpuinfo").read_text().split("\n\n")[0].splitlines())
    fields = {name.strip(): value.strip() for name, value in fields.items()}
    return fields.get("model name", "unknown processor"), set(fields.get("flags", "").split())


def prepare(model, folder):
    """Exports the networks and writes the input, for the peers and, as [H, W, C], for syncdiff. Returns PyTorch's output."""
    import torch
    from safetensors.torch import save_file
    from convert.export import load
    from convert.onnx import export, networks
    folder.mkdir(parents=True, exist_ok=True)
    module, inputs = networks(load(model))["denoiser"]
    export(module, inputs, folder / "denoiser.onnx")
    with torch.no_grad():
        expected = module(*inputs.values()).numpy()
    inputs = {name: value.contiguous() for name, value in inputs.items()}
    save_file(inputs, folder / "inputs.safetensors")
    save_file({**inputs, "x": inputs["x"][0].permute(1, 2, 0).contiguous(), "tokens": inputs["tokens"][0]},
              folder / "hwc.safetensors")
    return expected


def measure(peers, rounds, load):
    """{peer: ([seconds of each call], [the same under load])}"""
    probes = {}
    for name, peer in peers.items():
        time.sleep(REST)
        probes[name] = peer.turn(3)
    fastest = min(min(times) for times in probes.values())
    slow = [name for name, times in probes.items() if min(times) > TOO_SLOW * fastest]
    times = {name: (probes[name] if name in slow else [], []) for name in peers}
    for done in range(rounds):
        print(f"\rround {done + 1} of {rounds}", end="", file=sys.stderr, flush=True)
        for name, peer in peers.items():
            if name not in slow:
                time.sleep(REST)
                times[name][0].extend(peer.turn(round(TURN / min(probes[name]))))
        for name, peer in peers.items() if load else ():
            if name not in slow:
                time.sleep(REST)
                with load:
                    times[name][1].extend(peer.turn(round(TURN / min(probes[name]))))
    print(file=sys.stderr)
    return times


def ratio(results, precision, key):
    """How many times as long as syncdiff the fastest rival takes."""
    of = {result["name"]: result[key] for result in results if result["precision"] == precision}
    return min(of[name] for name in RIVALS[precision]) / of[OURS]


# ---------------------------------------------------------------- reporting

def markdown(report):
    loaded = "kept" in report["results"][0]
    lines = ["| | weights | median, ms | least, ms | off by |" + (" kept under load |" if loaded else ""),
             "|---|---|---|---|---|" + ("---|" if loaded else "")]
    for result in report["results"]:
        cells = [result["name"], result["precision"], f"{result['median_ms']:.2f}", f"{result['min_ms']:.2f}",
                 f"{result['difference']:.1e}"]
        if loaded:
            cells.append(f"{100 * result['kept']:.0f} %" if result["kept"] else "-")
        lines.append(f"| {' | '.join(cells)} |")
    lines += ["", f"One denoising step, batch 1, {report['setting']}.",
              "Off by: largest difference to PyTorch's f32, of the largest value."]
    if loaded:
        lines += ["Kept: median alone over median beside one foreign busy thread."]
    for precision, faster in report["faster"].items():
        rivals = RIVALS[precision]
        than = rivals[0] if len(rivals) == 1 else f"the faster of {' and '.join(rivals)}"
        lines += ["", f"{OURS} {precision}: {faster['median']:.2f} times as fast as {than} (by medians; by least times "
                  f"{faster['min']:.2f})."]
    for remark in report["remarks"]:
        lines += ["", f"Note: {remark}."]
    return "\n".join(lines) + "\n"


def chart(report, path):
    import matplotlib
    matplotlib.use("svg")
    import matplotlib.pyplot as plt
    matplotlib.rcParams.update({"svg.fonttype": "none", "svg.hashsalt": "syncdiff", "font.size": 9})
    quickest = min(result["median_ms"] for result in report["results"])
    shown = [result for result in report["results"] if result["median_ms"] <= TOO_SLOW * quickest][::-1]
    figure, axis = plt.subplots(figsize=(6.4, 0.5 + 0.3 * len(shown)))
    bars = axis.barh([f"{result['name']} {result['precision']}" for result in shown],
                     [result["median_ms"] for result in shown],
                     color=["#1f77b4" if result["name"] == OURS else "#b0b0b0" for result in shown])
    axis.bar_label(bars, fmt="%.1f", padding=3)
    axis.plot([result["min_ms"] for result in shown], range(len(shown)), "|", color="black")
    axis.spines[["top", "right"]].set_visible(False)
    axis.set(xlabel="one denoising step, ms: median and (mark) least; " + report["setting"].split(", ")[0])
    figure.tight_layout()
    figure.savefig(path, metadata={"Date": None})
    plt.close(figure)


def main():
    parser = argparse.ArgumentParser(prog="bench-peers", description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, default=ROOT / "meta/models/syncdiff.safetensors")
    parser.add_argument("--tool", type=Path, default=ROOT / ".build/release/syncdiff", help="the built syncdiff")
    parser.add_argument("--threads", type=int, default=2, help="threads for each peer (default: 2)")
    parser.add_argument("--rounds", type=int, default=30, help="turns for each peer (default: 30)")
    parser.add_argument("--load", action="store_true", help="also measure next to a busy thread of another process")
    parser.add_argument("--output", type=Path, default=ROOT / ".build/bench-peers",
                        help="folder for table and chart (default: .build/bench-peers; README shows meta/bench)")
    parser.add_argument("--name", default="denoiser", help="base name of the files, such as the processor's (default: denoiser)")
    args = parser.parse_args()
    if args.threads < 1 or args.rounds < 1:
        parser.error("--threads and --rounds are at least 1")
    if not args.tool.exists():
        parser.error(f"there is no {args.tool}; build it with: swift build -c release")
    os.environ["OMP_NUM_THREADS"] = str(args.threads)
    work = ROOT / ".build/bench-peers"
    expected = prepare(args.model, work)
    arguments = args.model, work, args.threads

    context = multiprocessing.get_context("spawn")
    peers = {name: Peer(name, context, arguments) for name in PEERS}
    peers |= {(OURS, precision): Ours(precision, args.tool, arguments) for precision in ("f32", "bf16")}
    load = Load() if args.load else None
    try:
        ready = {name: peer.ready() for name, peer in peers.items()}
        times = measure(peers, args.rounds, load)
    finally:
        if load:
            load.end()

    results = []
    for name, (free, loaded) in times.items():
        output, remark = ready[name]
        result = {"name": name[0], "precision": name[1], "median_ms": 1e3 * statistics.median(free),
                  "min_ms": 1e3 * min(free), "calls": len(free),
                  "difference": float(abs(output - expected).max() / abs(expected).max())}
        if args.load:
            result["kept"] = statistics.median(free) / statistics.median(loaded) if loaded else None
        results.append(result)
    versions = {name: importlib.metadata.version(name) for name in ("onnxruntime", "openvino", "torch")}
    report = {
        "setting": f"{args.threads} threads, {processor()[0]}, "
                   + ", ".join(f"{name} {version}" for name, version in versions.items()),
        "rounds": args.rounds, "results": results,
        "faster": {precision: {"median": ratio(results, precision, "median_ms"),
                               "min": ratio(results, precision, "min_ms")} for precision in RIVALS},
        "remarks": list(dict.fromkeys(remark for _, remark in ready.values() if remark))}
    args.output.mkdir(parents=True, exist_ok=True)
    (args.output / f"{args.name}.json").write_text(json.dumps(report, indent=1) + "\n")
    (args.output / f"{args.name}.md").write_text(markdown(report))
    chart(report, args.output / f"{args.name}.svg")
    print(markdown(report))


if __name__ == "__main__":
    main()
