// groups[slot] = (flag[0] > limit) == want ? (x, y, z) : 0, the arguments of an indirect dispatch
//
// Lets the GPU itself choose what runs: nobody waits for a flag to come back. groups: four words a slot.
// One lane. Exact.
struct Params { slot: u32, limit: u32, above: u32, x: u32, y: u32, z: u32 }
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> flag: array<u32>;
@group(0) @binding(2) var<storage, read_write> groups: array<u32>;

@compute @workgroup_size(1, 1, 1)
fn main() {
  let open = (flag[0] > p.limit) == (p.above != 0u);
  groups[4u * p.slot] = select(0u, p.x, open);
  groups[4u * p.slot + 1u] = select(0u, p.y, open);
  groups[4u * p.slot + 2u] = select(0u, p.z, open);
}
