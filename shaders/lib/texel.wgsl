// Where the texel of a linear index lies: gpu::TEXELS_ACROSS texels to a row.
fn texel(at: u32) -> vec2<u32> {
  return vec2<u32>(at & 2047u, at >> 11u);
}
