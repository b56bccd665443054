// Operations of a warp: the lanes that take part deposit operands and park, and the last to arrive computes for all. Copies to shared memory
// that go on beside the thread: issued, grouped, waited for.
#include "machine.h"

enum Kind { sync_warp, shuffle, ballot, load_matrix, multiply_f16, multiply_bf16, multiply_s8 };
void multiply(int kind, Lane* const lanes[32]);

static const char* name_of(int kind) {
  static const char* const names[] = {"__syncwarp", "a shuffle", "a vote", "ldmatrix", "mma of f16", "mma of bf16", "mma of s8"};
  return names[kind];
}
/** Rows of 16 bytes, 8 to a matrix, lane 8 m + r naming row r of matrix m; lane l gets elements 2 (l % 4) and the next of row l / 4, or of column l / 4. */
static void load_matrices(Lane* const lanes[32], int count, bool transposed) {
  for (int m = 0; m < count; m++)
    for (int l = 0; l < 32; l++) {
      uint16_t pair[2];
      for (int k = 0; k < 2; k++) {
        const int along = (l & 3) * 2 + k, across = l >> 2;
        const int row = transposed ? along : across, column = transposed ? across : along;
        memcpy(&pair[k], (const char*)lanes[m * 8 + row]->address + column * 2, 2);
      }
      lanes[l]->out[m] = pair[0] | uint32_t(pair[1]) << 16;
    }
}
static void compute(int kind, Lane* const lanes[32], unsigned mask) {
  if (kind == shuffle) {
    for (int l = 0; l < 32; l++) {
      if (!(mask >> l & 1)) continue;
      const int from = int(lanes[l]->in[1]);
      if (!(mask >> from & 1)) fault("block %d warp %d: lane %d takes a value of lane %d, which does not take part", weft_place.block.x, weft_place.thread.x / 32, l, from);
      else lanes[l]->out[0] = lanes[from]->in[0];
    }
  } else if (kind == ballot) {
    uint32_t votes = 0;
    for (int l = 0; l < 32; l++)
      if ((mask >> l & 1) && lanes[l]->in[0]) votes |= 1u << l;
    for (int l = 0; l < 32; l++)
      if (mask >> l & 1) lanes[l]->out[0] = votes;
  } else if (kind == load_matrix) load_matrices(lanes, int(lanes[0]->in[0]), lanes[0]->in[1] != 0);
  else if (kind >= multiply_f16) multiply(kind - multiply_f16, lanes);
}
/** Lanes that wait for others of their warp. */
struct Meeting {
  int kind, line;
  unsigned mask, arrived;
};
static std::vector<std::vector<Meeting>> meetings;
void warps_of_block(int warps) {
  warp_epochs.assign(warps, 0);
  meetings.assign(warps, {});
}
/** The lanes of `mask` meet here. A lane of theirs that waits elsewhere, or names other lanes, is a fault. */
static Lane& meet(int kind, unsigned mask, int line) {
  Fiber& me = fibers[current];
  const int base = current / 32 * 32, lane = current % 32, threads = int(fibers.size());
  me.line = line;
  me.kind = kind;
  me.mask = mask;
  if (!(mask >> lane & 1)) {
    fault("thread %d of block %d: %s in line %d for lanes %08x, of which it is none", current, weft_place.block.x, name_of(kind), line, mask);
    give_up();
  }
  if ((kind >= load_matrix && mask != 0xffffffffu) || (threads - base < 32 && mask >> (threads - base))) {
    fault("thread %d of block %d: %s in line %d needs lanes that do not exist", current, weft_place.block.x, name_of(kind), line);
    give_up();
  }
  me.state = at_warp;
  std::vector<Meeting>& open = meetings[base / 32];
  size_t own = open.size();
  for (size_t k = 0; k < open.size(); k++) {
    const Meeting& m = open[k];
    if (m.kind == kind && m.line == line && m.mask == mask) own = k;
    else if (m.arrived & mask) {
      fault("block %d warp %d: lane %d is at %s in line %d, lane %d at %s in line %d", weft_place.block.x, base / 32, lane, name_of(kind), line, __builtin_ctz(m.arrived & mask), name_of(m.kind), m.line);
      give_up();
    }
  }
  if (own == open.size()) open.push_back({kind, line, mask, 0});
  open[own].arrived |= 1u << lane;
  if (open[own].arrived != mask) {
    park();
    return me.lane;
  }
  open.erase(open.begin() + own);
  Lane* lanes[32] = {};
  for (int l = 0; l < 32 && base + l < threads; l++) lanes[l] = &fibers[base + l].lane;
  compute(kind, lanes, mask);
  // Memory is ordered by __syncwarp alone, and here only by that of a whole warp.
  if (kind == sync_warp && (mask == 0xffffffffu || threads - base < 32)) warp_epochs[base / 32]++;
  for (int l = 0; l < 32 && base + l < threads; l++)
    if (mask >> l & 1) fibers[base + l].state = ready;
  return me.lane;
}
extern "C" {
void weft_sync_warp(unsigned mask, int line) { meet(sync_warp, mask, line); }
unsigned weft_shuffle(unsigned mask, unsigned value, int from, int line) {
  Lane& mine = fibers[current].lane;
  mine.in[0] = value;
  mine.in[1] = unsigned(from);
  return meet(shuffle, mask, line).out[0];
}
unsigned weft_ballot(unsigned mask, int vote, int line) {
  fibers[current].lane.in[0] = vote != 0;
  return meet(ballot, mask, line).out[0];
}
void weft_load_matrix(unsigned* r, int count, int transposed, const void* row, int line) {
  Lane& mine = fibers[current].lane;
  mine.in[0] = unsigned(count);
  mine.in[1] = transposed != 0;
  mine.address = row;
  // A lane beyond those that name rows may hold any address.
  if (current % 32 < count * 8) {
    if ((uintptr_t)row & 15) fault("thread %d of block %d: ldmatrix in line %d of a row that is not aligned to 16 bytes", current, weft_place.block.x, line);
    if (!in_shared(row, 16)) {
      fault("thread %d of block %d: ldmatrix in line %d of what is not shared memory", current, weft_place.block.x, line);
      give_up();
    }
    access(row, 16, reads);
  }
  const Lane& got = meet(load_matrix, 0xffffffffu, line);
  for (int k = 0; k < count; k++) r[k] = got.out[k];
}
/** kind: 0 f16, 1 bf16, 2 s8; d of 4, a of 4 and b of 2 words; d += a b. */
void weft_multiply(int kind, void* d, const unsigned* a, const unsigned* b, int line) {
  Lane& mine = fibers[current].lane;
  memcpy(mine.in, a, 16);
  memcpy(mine.in + 4, b, 8);
  memcpy(mine.in + 6, d, 16);
  memcpy(d, meet(multiply_f16 + kind, 0xffffffffu, line).out, 16);
}

// ---- copies beside the thread
void weft_copy_async(void* to, const void* from, int bytes, int valid) {
  if (((uintptr_t)to | (uintptr_t)from) & (bytes - 1)) fault("thread %d of block %d: a copy of %d bytes that are not aligned", current, weft_place.block.x, bytes);
  if (!in_shared(to, bytes)) {
    fault("thread %d of block %d: a copy beside the thread to what is not shared memory", current, weft_place.block.x);
    give_up();
  }
  if (valid) access(from, bytes, reads);
  access(to, bytes, writes);
  mark_in_flight((const char*)to, bytes, true);
  fibers[current].open.push_back({(char*)to, (const char*)from, bytes, valid != 0});
}
void weft_copy_async_commit() {
  Fiber& me = fibers[current];
  me.groups.push_back(std::move(me.open));
  me.open.clear();
}
/** All but the newest `pending` groups have arrived, and are writes of this thread. */
void weft_copy_async_wait_for(int pending) {
  Fiber& me = fibers[current];
  while (int(me.groups.size()) > pending) {
    for (const Copy& c : me.groups.front()) {
      mark_in_flight(c.to, c.bytes, false);
      if (c.valid) memcpy(c.to, c.from, c.bytes);
      else memset(c.to, 0, c.bytes);
      access(c.to, c.bytes, writes);
    }
    me.groups.erase(me.groups.begin());
  }
}
}
void end_of_thread() {
  const Fiber& me = fibers[current];
  if (!me.open.empty() || !me.groups.empty()) fault("thread %d of block %d ends with copies that it has not waited for", current, weft_place.block.x);
}
