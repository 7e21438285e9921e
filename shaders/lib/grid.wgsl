// One workgroup index out of a grid folded over x and y (WebGPU allows 65,535 groups a dimension).
fn flat_group(wid: vec3<u32>, count: vec3<u32>) -> u32 {
  return wid.x + wid.y * count.x;
}
