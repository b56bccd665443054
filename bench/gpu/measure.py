"""Times the contenders of each case on one NVIDIA GPU, in turn: CUDA graphs, inputs that rotate past the L2 cache, a check before the clock.

usage: measure.py PLAN.json [--rounds N]     one JSON line a contender on standard output
"""

import argparse
import json
import math
import os
import sys
import time
from concurrent.futures import ThreadPoolExecutor

import torch

from driver import Kernel, compile_source
from peers import peers
from reference import references

dtypes = {
    "f16": torch.float16, "bf16": torch.bfloat16, "f32": torch.float32, "f64": torch.float64, "i32": torch.int32, "u32": torch.int32,
    "i8": torch.int8, "u8": torch.uint8, "index": torch.int32, "f8e4m3": torch.float8_e4m3fn, "f8e5m2": torch.float8_e5m2,
}
running = []  # contenders in the order in which they ran
rotated = 180 << 20  # three times an L2 of 60 MB
graph_ms = 3.0
warm_ms = 400.0  # of a case before its clock starts: clocks settle


def draw(t):
    """Random data; an index is the last that may be: a sequence is as long as its cache."""
    if "bound" in t:
        return torch.full(t["shape"], t["bound"] - 1, device="cuda", dtype=torch.int32)
    if t["elem"] not in dtypes:
        return torch.randint(-(2**31), 2**31 - 1, (t["bytes"] // 4,), device="cuda", dtype=torch.int32)
    x = torch.randn(*t["shape"], device="cuda", dtype=torch.float32).to(dtypes[t["elem"]])
    return x.abs() if "least" in t and t["least"] >= 0 else x


def fill_poison(t):
    t.view(torch.uint8).fill_(255)


def capture(call, sets):
    """-> what replays `calls` calls, and how many they are."""
    call(0)
    torch.cuda.synchronize()
    start, end = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
    start.record()
    call(0)
    end.record()
    torch.cuda.synchronize()
    calls = max(1, min(200, math.ceil(graph_ms / max(1e-3, start.elapsed_time(end)))))
    calls = max(calls, min(sets, 32))
    stream = torch.cuda.Stream()
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):
        for i in range(min(3, sets)):
            call(i)
    torch.cuda.current_stream().wait_stream(stream)
    torch.cuda.synchronize()
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        for k in range(calls):
            call(k % sets)
    return graph.replay, calls


class Lost(Exception):
    """An error that the process cannot go on from: the context is gone."""


def settled():
    try:
        torch.cuda.synchronize()
    except Exception as e:
        raise Lost(str(e)) from e


def measure(case, cubins, rounds, seed, skipped):
    torch.manual_seed(seed)
    moved = sum(t["bytes"] for t in case["tensors"])
    count = max(1, min(32, math.ceil(rotated / moved))) if moved < rotated else 1
    sets = [{t["name"]: (torch.empty(t["shape"], device="cuda", dtype=dtypes[t["elem"]]) if t["role"] == "out" else draw(t)) for t in case["tensors"]} for _ in range(count)]
    reference = references[case["reference"]](case, sets[0])
    head = {"case": case["name"], "kernel": case["kernel"], "instance": case["instance"], "dims": case["dims"], "sets": count}
    contenders, rows = [], []

    def add(label, ours, call, outputs, note, graph):
        row = {**head, "contender": label, "ours": ours, **({"note": note} if note else {})}
        if label in skipped:
            rows.append({**row, "error": skipped[label]})
            return
        running.append(label)
        try:
            if outputs is not None:
                row["relativeError"] = outputs()
            replay, calls = capture(call, count) if graph else (lambda: call(0), 1)
            replay()
            torch.cuda.synchronize()
            contenders.append((row, replay, calls, []))
        except Exception as e:  # a contender that cannot run is a row that says so
            settled()
            rows.append({**row, "error": f"{type(e).__name__}: {e}".splitlines()[0][:300]})

    kept = []  # what graphs read lives as long as they do
    for c in case["ours"]:
        cubin = cubins[c["source"]].result() if not cubins[c["source"]].exception() else None
        if cubin is None:
            rows.append({**head, "contender": c["label"], "ours": True, "error": str(cubins[c["source"]].exception())[:300]})
            continue
        kernel = Kernel(c, cubin)
        kept.append(kernel)
        in_place = {t["name"]: sets[0][t["name"]] for t in case["tensors"] if t["role"] == "inout"}

        def check(kernel=kernel):
            small = all(t.numel() < 1 << 28 for t in in_place.values())
            before = {n: t.clone() if small else t[: 1 << 20].clone() for n, t in in_place.items()}
            for t in case["tensors"]:
                if t["role"] == "out":
                    fill_poison(sets[0][t["name"]])
            kernel.call(sets[0])
            torch.cuda.synchronize()
            error = reference(sets[0])
            for n, t in before.items():
                in_place[n][: t.shape[0]].copy_(t)
            return error

        add(c["label"], True, lambda i, kernel=kernel: kernel.call(sets[i]), check, None, True)
    for name in case["peers"]:
        try:
            running.append(name)
            peer = peers[name](case, sets)
            kept.append(peer)
        except Exception as e:
            settled()
            rows.append({**head, "contender": name, "ours": False, "error": f"{type(e).__name__}: {e}".splitlines()[0][:300]})
            continue

        def check(peer=peer):
            peer.call(0)
            torch.cuda.synchronize()
            return reference(peer.outputs())

        add(name, False, peer.call, check if peer.outputs else None, peer.note, peer.graph)
    start, end = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
    begun = time.time()
    while contenders and (time.time() - begun) * 1e3 < warm_ms:
        for _, replay, _, _ in contenders:
            replay()
        torch.cuda.synchronize()
    for r in range(rounds):
        for k in range(len(contenders)):
            row, replay, calls, samples = contenders[(k + r) % len(contenders)]
            running.append(row["contender"])
            start.record()
            replay()
            end.record()
            end.synchronize()
            samples.append(start.elapsed_time(end) / calls)
    for row, _, calls, samples in contenders:
        ordered = sorted(samples)
        at = lambda q: ordered[min(len(ordered) - 1, int(q * len(ordered)))]
        ms = at(0.5)
        rows.append({
            **row, "calls": calls, "medianMs": round(ms, 5), "p25Ms": round(at(0.25), 5), "p75Ms": round(at(0.75), 5),
            "tflops": round(case["flops"] / ms / 1e9, 2), "gbps": round(case["bytes"] / ms / 1e6, 1), "samplesMs": [round(s, 5) for s in samples],
        })
    return rows


def ceilings(rounds):
    """A large copy and a large product: what this card gives at most in this very run."""
    a = torch.randn(1 << 30, device="cuda")
    b = torch.empty_like(a)
    x, y = (torch.randn(8192, 8192, device="cuda", dtype=torch.bfloat16) for _ in range(2))
    z = torch.empty_like(x)
    rows = []
    for name, call, flops, moved in (
        ("device copy of 4 GiB", lambda: b.copy_(a), 0, 8 << 30),
        ("cublas bf16 8192 x 8192 x 8192", lambda: torch.mm(x, y, out=z), 2 * 8192**3, 6 * 8192**2),
    ):
        call()
        torch.cuda.synchronize()
        samples = []
        for _ in range(rounds):
            start, end = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
            start.record()
            call()
            end.record()
            end.synchronize()
            samples.append(start.elapsed_time(end))
        ms = sorted(samples)[len(samples) // 2]
        rows.append({"case": "ceiling", "contender": name, "ours": False, "medianMs": round(ms, 5), "tflops": round(flops / ms / 1e9, 1), "gbps": round(moved / ms / 1e6, 1), "samplesMs": [round(s, 5) for s in samples]})
    return rows


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("plan")
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--first", type=int, default=0, help="the case to begin with")
    parser.add_argument("--skip", default="{}", help="contenders of that case that lost the device, with what they said, as JSON")
    args = parser.parse_args()
    with open(args.plan) as file:
        cases = json.load(file)
    torch.zeros(1, device="cuda")
    skipped = json.loads(args.skip)
    again = args.first > 0 or skipped
    if not again:
        print(json.dumps({"device": torch.cuda.get_device_name(), "torch": torch.__version__, "cuda": torch.version.cuda}), flush=True)
    with ThreadPoolExecutor() as pool:
        cubins = {c["source"]: pool.submit(compile_source, c["source"]) for case in cases[args.first :] for c in case["ours"]}
        if not again:
            with torch.inference_mode():
                for row in ceilings(args.rounds):
                    print(json.dumps(row), flush=True)
        for k, case in enumerate(cases[args.first :], args.first):
            begun = time.time()
            try:
                with torch.no_grad():
                    rows = measure(case, cubins, args.rounds, args.seed, skipped if k == args.first else {})
                settled()
            except (Lost, torch.AcceleratorError) as e:
                # Who ran last took the device with it: a new process goes on without that one.
                lost = {**(skipped if k == args.first else {}), running[-1]: f"lost the device: {e}".splitlines()[0][:300]}
                print(f"{case['name']}: {running[-1]} lost the device", file=sys.stderr, flush=True)
                os.execv(sys.executable, [sys.executable, "-B", __file__, args.plan, "--rounds", str(args.rounds), "--seed", str(args.seed), "--first", str(k), "--skip", json.dumps(lost)])
            for row in rows:
                print(json.dumps(row), flush=True)
            print(f"{case['name']}: {time.time() - begun:.1f} s", file=sys.stderr, flush=True)
            torch.cuda.empty_cache()


if __name__ == "__main__":
    main()
