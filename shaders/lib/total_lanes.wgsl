// Sums and maxima of counts over a workgroup that is one subgroup of eight lanes (Gpu::has_lanes): shuffles,
// where barriers would cost CPU rasterisers a hundred times as much. Control flow is uniform in fact, since
// it depends on these sums only, but no compiler can know that: browsers refuse it.
fn total(lane: u32, n: u32) -> u32 {
  var sum = n + subgroupShuffle(n, lane ^ 1u);
  sum += subgroupShuffle(sum, lane ^ 2u);
  return sum + subgroupShuffle(sum, lane ^ 4u);
}

fn largest(lane: u32, n: u32) -> u32 {
  var most = max(n, subgroupShuffle(n, lane ^ 1u));
  most = max(most, subgroupShuffle(most, lane ^ 2u));
  return max(most, subgroupShuffle(most, lane ^ 4u));
}

// What the lanes before this one have.
fn before(lane: u32, n: u32) -> u32 {
  var sum = n;
  for (var s = 1u; s < 8u; s <<= 1u) {
    let other = subgroupShuffle(sum, lane - min(lane, s));
    sum += select(0u, other, lane >= s);
  }
  return sum - n;
}
