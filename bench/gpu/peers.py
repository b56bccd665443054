"""Peers: what others offer for the same mathematics. Each takes a case and the sets of tensors, and gives what one call of set `i` runs,
and the outputs that it leaves (None where they cannot be compared, with the reason)."""

import torch
import torch.nn.functional as F
from torch.nn.attention import SDPBackend, sdpa_kernel


class Peer:
    def __init__(self, call, outputs=None, note=None, graph=True):
        self.call, self.outputs, self.note, self.graph = call, outputs, note, graph


def sdpa(backend):
    def make(case, sets):
        d = case["dims"]
        causal = case["kernel"] == "attention"
        if causal and d["M"] != d["N"]:
            raise ValueError("is_causal of SDPA starts at the first key")
        kept = {}

        def call(i):
            t = sets[i]
            q = t["q"].view(d["B"], -1, 1, d["D"]) if case["kernel"] == "decode" else t["q"]
            with sdpa_kernel(backend):
                out = F.scaled_dot_product_attention(
                    q, t["k"], t["v"], is_causal=causal, scale=case["scalars"]["scale"], enable_gqa=d["G"] > 1
                )
            kept["out"] = out.view(t["q"].shape)

        return Peer(call, lambda: kept)

    return make


def flex(case, sets):
    from torch.nn.attention.flex_attention import create_block_mask, flex_attention

    d = case["dims"]
    mask = create_block_mask(lambda b, h, q, k: q >= k, None, None, d["M"], d["N"], device="cuda")
    compiled = torch.compile(flex_attention, dynamic=False)
    kept = {}

    def call(i):
        t = sets[i]
        kept["out"] = compiled(
            t["q"], t["k"], t["v"], block_mask=mask, scale=case["scalars"]["scale"], enable_gqa=d["G"] > 1
        )

    return Peer(call, lambda: kept)


def cublas(case, sets):
    if case["kernel"] == "dense":
        out = torch.empty_like(sets[0]["c"])
        return Peer(lambda i: torch.mm(sets[i]["a"], sets[i]["b"], out=out), lambda: {"c": out})
    d = case["dims"]
    out = torch.empty_like(sets[0]["y"])
    count = max(1, min(len(sets), (4 << 30) // (2 * d["N"] * d["NG"] * d["GS"])))
    w = [torch.randn(d["NG"] * d["GS"], d["N"], device="cuda", dtype=torch.float16) for _ in range(count)]
    return Peer(lambda i: torch.mm(sets[i]["x"], w[i % count], out=out), note="f16 weights of its own")


def int4pack(case, sets):
    d = case["dims"]
    k = d["NG"] * d["GS"]
    x = torch.randn(d["M"], k, device="cuda", dtype=torch.bfloat16)
    packed = [
        torch.ops.aten._convert_weight_to_int4pack(torch.randint(0, 256, (d["N"], k // 2), device="cuda", dtype=torch.uint8), 8)
        for _ in sets
    ]
    scales = torch.randn(d["NG"], d["N"], 2, device="cuda", dtype=torch.bfloat16)
    return Peer(
        lambda i: torch.ops.aten._weight_int4pack_mm(x, packed[i], d["GS"], scales), note="bf16, weights of its own layout"
    )


def int_mm(case, sets):
    return Peer(lambda i: torch._int_mm(sets[i]["x"], sets[i]["w"].t()), note="cuBLAS, i32 sums without their scales")


def scaled_mm(case, sets):
    """cuBLAS by rows of scales, sums in f32 throughout; it asks for 16 rows."""
    kept = {}

    def call(i):
        t = sets[i]
        kept["y"] = torch._scaled_mm(
            t["x"], t["w"].t(), scale_a=t["sx"][:, None], scale_b=t["sw"][None, :], out_dtype=torch.bfloat16, use_fast_accum=False
        )

    return Peer(call, lambda: kept)


def torch_adamw(form):
    def make(case, sets):
        s = case["scalars"]
        sizes = [c["N"] for c in case["calls"]] if "calls" in case else [case["dims"]["N"]]
        parameters = [torch.nn.Parameter(torch.randn(n, device="cuda")) for n in sizes]
        for p in parameters:
            p.grad = torch.randn_like(p)
        optimizer = torch.optim.AdamW(
            parameters, lr=s["lr"], betas=(s["b1"], s["b2"]), eps=s["eps"], weight_decay=s["decay"], **{form: True}
        )
        return Peer(lambda i: optimizer.step(), note="f32 parameters and gradients, 28 bytes each as well", graph=False)

    return make


def device_copy(case, sets):
    """As many bytes, half read and half written; in pieces of 4 GiB at most."""
    words = max(1 << 18, int(case["bytes"]) // 8)
    pieces = [min(1 << 30, words - at) for at in range(0, words, 1 << 30)]
    count = max(1, min(32, (360 << 20) // (8 * words)))
    pairs = [(torch.randn(pieces[0], device="cuda"), torch.empty(pieces[0], device="cuda")) for _ in range(count)]

    def call(i):
        a, b = pairs[i % count]
        for n in pieces:
            b[:n].copy_(a[:n])

    return Peer(call, note="a limit: the bytes of the mathematics", graph=len(pieces) == 1)


def torch_transpose(case, sets):
    out = torch.empty_like(sets[0]["y"])
    return Peer(lambda i: out.copy_(sets[i]["x"].t()), lambda: {"y": out})


def in_triton(case, sets):
    # Only where it is asked for: a machine may have torch without it.
    import triton_peers

    if case["kernel"] == "dense":
        out = torch.empty_like(sets[0]["c"])
        return Peer(lambda i: triton_peers.product(sets[i]["a"], sets[i]["b"], out), lambda: {"c": out}, note="tuned")
    causal, scale = case["kernel"] == "attention", case["scalars"]["scale"]
    out = torch.empty_like(sets[0]["out"])
    return Peer(
        lambda i: triton_peers.attention(sets[i]["q"], sets[i]["k"], sets[i]["v"], out, scale, causal),
        lambda: {"out": out},
        note="tuned",
    )


peers = {
    "sdpa flash": sdpa(SDPBackend.FLASH_ATTENTION),
    "sdpa cudnn": sdpa(SDPBackend.CUDNN_ATTENTION),
    "flex_attention": flex,
    "triton": in_triton,
    "cublas": cublas,
    "int4pack": int4pack,
    "int_mm": int_mm,
    "scaled_mm": scaled_mm,
    "fused adamw": torch_adamw("fused"),
    "foreach adamw": torch_adamw("foreach"),
    "torch": torch_transpose,
    "device copy": device_copy,
}
