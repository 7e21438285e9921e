// Tree reductions over the 64 lanes of a workgroup: fixed order, so the same bits every time, and no
// assumption about subgroups. Every lane of the group must call them (they hold barriers).
var<workgroup> scratch: array<f32, 64>;

fn reduce_sum(lane: u32, x: f32) -> f32 {
  scratch[lane] = x;
  workgroupBarrier();
  for (var s = 32u; s > 0u; s >>= 1u) {
    if (lane < s) { scratch[lane] += scratch[lane + s]; }
    workgroupBarrier();
  }
  let total = scratch[0];
  workgroupBarrier();
  return total;
}

fn reduce_max(lane: u32, x: f32) -> f32 {
  scratch[lane] = x;
  workgroupBarrier();
  for (var s = 32u; s > 0u; s >>= 1u) {
    if (lane < s) { scratch[lane] = max(scratch[lane], scratch[lane + s]); }
    workgroupBarrier();
  }
  let most = scratch[0];
  workgroupBarrier();
  return most;
}
