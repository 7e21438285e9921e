// Parameters that all matrix products share; host twin: ops::matmul::Params.
struct MatmulParams {
  m_begin: u32, m_end: u32, n: u32, k: u32,
  a_m: u32, a_k: u32, b_n: u32, b_k: u32,
  ldc: u32, z0: u32, inner_count: u32, b_group: u32,
  a_off: u32, a_outer: u32, a_inner: u32, b_off: u32,
  b_outer: u32, b_inner: u32, c_off: u32, c_outer: u32,
  c_inner: u32, bias_outer: u32, has_bias: u32, accumulate: u32,
  alpha: f32,
}
@group(0) @binding(0) var<uniform> p: MatmulParams;
