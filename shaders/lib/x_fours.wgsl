// A matrix whose rows are whole fours, read by fours: CPU rasterisers load those twice as fast a value.
@group(0) @binding(1) var<storage, read> x: array<vec4<f32>>;
fn x1(at: u32) -> f32 { return x[at / 4u][at % 4u]; }
fn x4(at: u32) -> vec4<f32> { return x[at / 4u]; }
