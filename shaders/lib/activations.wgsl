// The activations of the MLP: KIND 0: GELU with erf; 1: GELU with tanh (gelu_new); 2: SiLU; 3: ReLU. A
// constant: a CPU rasteriser runs every branch of a choice made at run time.
override KIND: u32 = 0u;

fn erf(v: f32) -> f32 {
  let z = abs(v);
  let t = 1.0 / (1.0 + 0.3275911 * z);
  let poly = t * (0.254829592 + t * (-0.284496736 + t * (1.421413741 + t * (-1.453152027 + t * 1.061405429))));
  return sign(v) * (1.0 - poly * exp(-z * z));
}

fn apply(v: f32) -> f32 {
  switch KIND {
    case 0u: { return 0.5 * v * (1.0 + erf(v * 0.7071067811865476)); }
    // tanh of large values overflows on some drivers: clamp.
    case 1u: {
      let u = clamp(0.7978845608028654 * (v + 0.044715 * v * v * v), -15.0, 15.0);
      return 0.5 * v * (1.0 + tanh(u));
    }
    // exp overflows past 88 on drivers that do not saturate.
    case 2u: { return v / (1.0 + exp(clamp(-v, -80.0, 80.0))); }
    default: { return max(v, 0.0); }
  }
}
