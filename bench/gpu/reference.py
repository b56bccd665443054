"""What the outputs should be, in f32 or f64 by torch, at rows that are looked at: relative errors of what a contender gave."""

import torch

rows_looked_at = 256


def relative(got, want):
    want = want.double()
    return ((got.double() - want).norm() / want.norm()).item()


def rows_of(count):
    return torch.randperm(count, device="cuda")[:rows_looked_at]


def attention(case, inputs):
    """The last query head of the last batch."""
    d = case["dims"]
    q, k, v = inputs["q"][-1, -1], inputs["k"][-1, -1].float(), inputs["v"][-1, -1].float()
    rows = rows_of(d["M"])
    s = case["scalars"]["scale"] * (q[rows].float() @ k.T)
    if case["kernel"] == "attention":
        last = rows[:, None] + (d["N"] - d["M"])
        s = s.masked_fill(torch.arange(d["N"], device="cuda")[None, :] > last, float("-inf"))
    want = torch.softmax(s, -1) @ v
    return lambda out: relative(out["out"][-1, -1][rows].float(), want)


def decode(case, inputs):
    """The last key head of the last sequence."""
    q, k, v = (inputs[n][-1, -1].float() for n in "qkv")
    want = torch.softmax(case["scalars"]["scale"] * (q @ k.T), -1) @ v
    return lambda out: relative(out["out"][-1, -1].float(), want)


def transpose(case, inputs):
    rows = rows_of(case["dims"]["N"])
    return lambda out: relative(out["y"][rows], inputs["x"].t()[rows])


def dense(case, inputs):
    rows = rows_of(case["dims"]["M"])
    want = inputs["a"][rows].float() @ inputs["b"].float()
    return lambda out: relative(out["c"][rows], want)


def unpacked(case, inputs):
    """The weights of w4a16 as [K, N] floats."""
    d = case["dims"]
    nibble = torch.arange(8, device="cuda", dtype=torch.int32) * 4
    w = inputs["w"].view(torch.int32).view(-1, d["N"])
    z = inputs["z"].view(torch.int32)
    codes = ((w[:, None, :] >> nibble[None, :, None]) & 15).reshape(-1, d["N"])
    zero = ((z[:, None] >> nibble[None, :]) & 15).reshape(d["NG"], d["N"])
    whole = (codes.view(d["NG"], d["GS"], d["N"]) - zero[:, None]).float()
    return (whole * inputs["s"].float()[:, None]).view(-1, d["N"])


def w4a16(case, inputs):
    rows = rows_of(case["dims"]["M"])
    want = inputs["x"][rows].float() @ unpacked(case, inputs)
    return lambda out: relative(out["y"][rows], want)


def in_fragments(case, inputs):
    """The weights of w4a16_marlin as [K, N] floats."""
    d = case["dims"]
    k, n = d["NG"] * d["GS"], d["N"]
    # word (k / 16, n / 64, n % 8, k % 8 / 2, n % 64 / 16); bits of (k / 8 % 2, n / 8 % 2, k % 2)
    w = inputs["w"].view(torch.int32).view(k // 16, n // 64, 8, 4, 4, 1, 1, 1)
    bit = lambda by, *shape: (torch.arange(2, device="cuda", dtype=torch.int32) * by).view(shape)
    codes = (w >> (bit(4, 2, 1, 1) + bit(8, 1, 2, 1) + bit(16, 1, 1, 2))) & 15
    codes = codes.permute(0, 5, 3, 7, 1, 4, 6, 2).reshape(k, n)
    s = inputs["s"].view(d["NG"], n // 64, 8, 4, 2).permute(0, 1, 3, 4, 2).reshape(d["NG"], 1, n)
    return ((codes.view(d["NG"], d["GS"], n) - 8).float() * s.float()).view(k, n)


def w4a16_marlin(case, inputs):
    rows = rows_of(case["dims"]["M"])
    want = inputs["x"][rows].float() @ in_fragments(case, inputs)
    return lambda out: relative(out["y"][rows], want)


def w8a8(case, inputs):
    rows = rows_of(case["dims"]["M"])
    want = (inputs["x"][rows].double() @ inputs["w"].double().T) * inputs["sx"][rows].double()[:, None] * inputs["sw"].double()
    return lambda out: relative(out["y"][rows], want)


def adamw(case, inputs):
    """The first million parameters."""
    s = case["scalars"]
    w, m, v, g = (inputs[n][: 1 << 20].double() for n in "wmvg")
    m1 = s["b1"] * m + (1 - s["b1"]) * g
    v1 = s["b2"] * v + (1 - s["b2"]) * g * g
    want = w - s["lr"] * ((m1 / s["c1"]) / ((v1 / s["c2"]).sqrt() + s["eps"]) + s["decay"] * w)
    return lambda out: relative(out["w"][: 1 << 20], want)


def adamw_many(case, inputs):
    """Calls spread over the list."""
    last = len(case["calls"]) - 1
    looked = sorted({0, 1, last // 2, last - 1, last})
    one = {k: adamw(case, {n: inputs[f"{n}.{k}"] for n in "wmvg"}) for k in looked}
    return lambda out: max(check({"w": out[f"w.{k}"]}) for k, check in one.items())


references = {
    "attention": attention,
    "decode": decode,
    "dense": dense,
    "transpose": transpose,
    "w4a16": w4a16,
    "w4a16_marlin": w4a16_marlin,
    "w8a8": w8a8,
    "adamw": adamw,
    "adamw_many": adamw_many,
}
