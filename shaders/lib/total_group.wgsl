// Sums and maxima of counts over a workgroup of WG lanes (at most 64): trees in workgroup memory. Every
// lane must call them (they hold barriers); what they return is uniform by contract, so that barriers and
// loops may depend on it.
var<workgroup> counts: array<u32, 64>;

fn total(lane: u32, n: u32) -> u32 {
  counts[lane] = n;
  workgroupBarrier();
  for (var s = WG / 2u; s > 0u; s >>= 1u) {
    if (lane < s) { counts[lane] += counts[lane + s]; }
    workgroupBarrier();
  }
  return workgroupUniformLoad(&counts[0]);
}

fn largest(lane: u32, n: u32) -> u32 {
  counts[lane] = n;
  workgroupBarrier();
  for (var s = WG / 2u; s > 0u; s >>= 1u) {
    if (lane < s) { counts[lane] = max(counts[lane], counts[lane + s]); }
    workgroupBarrier();
  }
  return workgroupUniformLoad(&counts[0]);
}

// What the lanes before this one have.
fn before(lane: u32, n: u32) -> u32 {
  counts[lane] = n;
  workgroupBarrier();
  var sum = 0u;
  for (var i = 0u; i < lane; i++) { sum += counts[i]; }
  workgroupBarrier();
  return sum;
}
