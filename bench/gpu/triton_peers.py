"""The two kernels that Triton's tutorials teach, written anew: a tiled product, and attention with an online softmax; tuned where they run."""

import triton
import triton.language as tl


@triton.autotune(
    configs=[
        triton.Config({"BM": bm, "BN": bn, "BK": bk, "GROUP": 8}, num_warps=warps, num_stages=stages)
        for bm, bn, bk, warps, stages in (
            (128, 256, 64, 8, 3),
            (256, 128, 64, 8, 3),
            (128, 128, 64, 4, 4),
            (128, 128, 32, 4, 4),
            (64, 128, 64, 4, 4),
            (64, 256, 32, 4, 4),
        )
    ],
    key=["M", "N", "K"],
)
@triton.jit
def product_kernel(a, b, c, M, N, K, BM: tl.constexpr, BN: tl.constexpr, BK: tl.constexpr, GROUP: tl.constexpr):
    """c[M, N] = a[M, K] b[K, N], row-major; blocks in groups of GROUP rows."""
    block = tl.program_id(0)
    down, across = tl.cdiv(M, BM), tl.cdiv(N, BN)
    group = block // (GROUP * across)
    height = min(down - group * GROUP, GROUP)
    row = group * GROUP + (block % (GROUP * across)) % height
    column = (block % (GROUP * across)) // height
    rows = (row * BM + tl.arange(0, BM)) % M
    columns = (column * BN + tl.arange(0, BN)) % N
    depth = tl.arange(0, BK)
    left = a + rows[:, None] * K + depth[None, :]
    right = b + depth[:, None] * N + columns[None, :]
    total = tl.zeros((BM, BN), dtype=tl.float32)
    for k in range(0, tl.cdiv(K, BK)):
        inside = depth < K - k * BK
        x = tl.load(left, mask=inside[None, :], other=0.0)
        y = tl.load(right, mask=inside[:, None], other=0.0)
        total = tl.dot(x, y, total)
        left += BK
        right += BK * N
    i = row * BM + tl.arange(0, BM)
    j = column * BN + tl.arange(0, BN)
    tl.store(c + i[:, None] * N + j[None, :], total.to(c.dtype.element_ty), mask=(i[:, None] < M) & (j[None, :] < N))


def product(a, b, c):
    (m, k), n = a.shape, b.shape[1]
    product_kernel[lambda meta: (triton.cdiv(m, meta["BM"]) * triton.cdiv(n, meta["BN"]),)](a, b, c, m, n, k)


@triton.autotune(
    configs=[
        triton.Config({"BM": bm, "BN": bn}, num_warps=warps, num_stages=stages)
        for bm in (64, 128)
        for bn in (32, 64)
        for warps in (4, 8)
        for stages in (2, 3)
    ],
    key=["M", "N", "D", "CAUSAL"],
)
@triton.jit
def attention_kernel(
    q, k, v, out, scale, H, G, M, N, D: tl.constexpr, CAUSAL: tl.constexpr, BM: tl.constexpr, BN: tl.constexpr
):
    """Scores of BM queries against BN keys at a time; q and out are [B, H, M, D], k and v [B, H / G, N, D]."""
    block, head = tl.program_id(0), tl.program_id(1)
    own = head.to(tl.int64)
    shared = (head // H * (H // G) + head % H // G).to(tl.int64)
    d = tl.arange(0, D)
    i = block * BM + tl.arange(0, BM)
    rows = tl.load(q + own * M * D + i[:, None] * D + d[None, :], mask=i[:, None] < M, other=0.0)
    top = tl.full((BM,), float("-inf"), dtype=tl.float32)
    weight = tl.zeros((BM,), dtype=tl.float32)
    total = tl.zeros((BM, D), dtype=tl.float32)
    last = min(N, (block + 1) * BM + N - M) if CAUSAL else N
    for start in range(0, last, BN):
        j = start + tl.arange(0, BN)
        inside = j < N
        keys = tl.load(k + shared * N * D + j[None, :] * D + d[:, None], mask=inside[None, :], other=0.0)
        scores = tl.dot(rows, keys) * (scale * 1.4426950408889634)
        keep = inside[None, :]
        if CAUSAL:
            keep = keep & (j[None, :] <= i[:, None] + N - M)
        scores = tl.where(keep, scores, float("-inf"))
        higher = tl.maximum(top, tl.max(scores, 1))
        p = tl.exp2(scores - higher[:, None])
        by = tl.exp2(top - higher)
        weight = weight * by + tl.sum(p, 1)
        values = tl.load(v + shared * N * D + j[:, None] * D + d[None, :], mask=inside[:, None], other=0.0)
        total = tl.dot(p.to(v.dtype.element_ty), values, total * by[:, None])
        top = higher
    total = total / weight[:, None]
    tl.store(out + own * M * D + i[:, None] * D + d[None, :], total.to(out.dtype.element_ty), mask=i[:, None] < M)


def attention(q, k, v, out, scale, causal):
    b, h, m, d = q.shape
    grid = lambda meta: (triton.cdiv(m, meta["BM"]), b * h)
    attention_kernel[grid](q, k, v, out, scale, h, h // k.shape[1], m, k.shape[2], d, causal)
