//! Every kernel's text, without a GPU: valid WGSL within WebGPU's defaults, bound as the host side
//! believes, translatable for every API that wgpu drives.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;

use mosaec::gpu::{Access, Kernel, Needs};
use mosaec::ops::KERNELS;
use naga::back::pipeline_constants::process_overrides;
use naga::back::{PipelineConstants, glsl, hlsl, msl, spv};
use naga::valid::{Capabilities, ModuleInfo, ValidationFlags, Validator};
use naga::{AddressSpace, Module, ShaderStage, StorageAccess};

// WebGPU's default limits.
const STORAGE_BUFFERS: usize = 8;
const STORAGE_TEXTURES: usize = 4;
const UNIFORM_BUFFERS: usize = 12;
const UNIFORM_BYTES: u32 = 65_536;
const INVOCATIONS: u32 = 256;
const WORKGROUP_BYTES: u32 = 16_384;

type Checked<T = ()> = Result<T, String>;

/// Runs `check` on every kernel and reports all that failed, by name.
fn each(check: impl Fn(&Kernel) -> Checked) {
    let failed: Vec<String> = KERNELS
        .iter()
        .filter_map(|kernel| {
            check(kernel)
                .err()
                .map(|why| format!("{}: {why}", kernel.name))
        })
        .collect();
    assert!(
        failed.is_empty(),
        "{} failed:\n{}",
        failed.len(),
        failed.join("\n")
    );
}

fn ensure(holds: bool, why: impl FnOnce() -> String) -> Checked {
    if holds { Ok(()) } else { Err(why()) }
}

/// What naga must allow for a kernel: what WebGPU always has (of which naga names one thing, packing f16
/// into words), and what it needs.
fn capabilities(needs: Needs) -> Capabilities {
    let always = Capabilities::SHADER_FLOAT16_IN_FLOAT32;
    match needs {
        Needs::Nothing => always,
        Needs::Subgroups | Needs::Lanes => always | Capabilities::SUBGROUP,
        Needs::Cooperative16 | Needs::Cooperative8 => {
            always
                | Capabilities::SUBGROUP
                | Capabilities::SHADER_FLOAT16
                | Capabilities::COOPERATIVE_MATRIX
        }
    }
}

/// Whether a kernel's needs are met wherever WebGPU is, or only on some native back ends.
fn portable(kernel: &Kernel) -> bool {
    kernel.needs == Needs::Nothing
}

fn cooperative(kernel: &Kernel) -> bool {
    matches!(kernel.needs, Needs::Cooperative16 | Needs::Cooperative8)
}

/// Parses and validates with no capability but those.
fn parse(kernel: &Kernel) -> Checked<(Module, ModuleInfo)> {
    let source = kernel.source();
    let module = naga::front::wgsl::parse_str(&source).map_err(|e| e.emit_to_string(&source))?;
    let info = Validator::new(ValidationFlags::all(), capabilities(kernel.needs))
        .validate(&module)
        .map_err(|e| e.emit_to_string(&source))?;
    Ok((module, info))
}

/// Calls `check` with the module of each variant, its override constants filled in.
fn each_variant(check: impl Fn(&Module, &ModuleInfo) -> Checked) {
    each_variant_of(|_| true, |_, module, info| check(module, info));
}

/// As [`each_variant`], for the kernels that `wanted` names.
fn each_variant_of(
    wanted: impl Fn(&Kernel) -> bool,
    check: impl Fn(&Kernel, &Module, &ModuleInfo) -> Checked,
) {
    each(|kernel| {
        if !wanted(kernel) {
            return Ok(());
        }
        let (module, info) = parse(kernel)?;
        ensure(!kernel.variants.is_empty(), || "has no variant".to_owned())?;
        for variant in kernel.variants {
            let mut constants = PipelineConstants::default();
            for (name, value) in *variant {
                constants.insert((*name).to_owned(), *value);
            }
            process_overrides(
                &module,
                &info,
                Some((ShaderStage::Compute, "main")),
                &constants,
            )
            .map_err(|e| e.to_string())
            .and_then(|(module, info)| check(kernel, &module, &info))
            .map_err(|why| format!("{variant:?}: {why}"))?;
        }
        Ok(())
    });
}

#[test]
fn kernels_are_valid_wgsl() {
    each(|kernel| {
        let (module, _) = parse(kernel)?;
        let entries: Vec<_> = module
            .entry_points
            .iter()
            .map(|e| (e.stage, &*e.name))
            .collect();
        ensure(entries == [(ShaderStage::Compute, "main")], || {
            format!("entry points are {entries:?}, not one compute `main`")
        })
    });
}

#[test]
fn bindings_are_what_the_host_binds() {
    each(|kernel| {
        let (module, _) = parse(kernel)?;
        let mut found = Vec::new();
        for (_, variable) in module.global_variables.iter() {
            let Some(binding) = variable.binding else {
                continue;
            };
            ensure(binding.group == 0, || {
                format!("{binding:?}: only group 0 is bound")
            })?;
            let access = match variable.space {
                AddressSpace::Uniform => Access::Window,
                AddressSpace::Storage { access } if access.contains(StorageAccess::STORE) => {
                    Access::Write
                }
                AddressSpace::Storage { .. } => Access::Read,
                AddressSpace::Handle => Access::Texels,
                other => return Err(format!("{binding:?} is in {other:?}")),
            };
            found.push((binding.binding, access));
        }
        found.sort_by_key(|(number, _)| *number);
        let numbers: Vec<u32> = found.iter().map(|(number, _)| *number).collect();
        let dense: Vec<u32> = (0..found.len() as u32).collect();
        ensure(numbers == dense, || format!("bindings are {numbers:?}"))?;
        ensure(
            found.first().is_some_and(|(_, a)| *a == Access::Window),
            || "binding 0 is not the uniform of parameters".to_owned(),
        )?;
        let reflected: Vec<Access> = found[1..].iter().map(|(_, access)| *access).collect();
        ensure(reflected == kernel.accesses(), || {
            format!(
                "naga sees {reflected:?}, accesses() {:?}",
                kernel.accesses()
            )
        })
    });
}

#[test]
fn kernels_stay_within_default_limits() {
    each_variant(|module, _| {
        let (mut storage, mut uniform, mut workgroup, mut textures) = (0, 0, 0, 0);
        for (_, variable) in module.global_variables.iter() {
            let size = module.types[variable.ty].inner.size(module.to_ctx());
            match variable.space {
                AddressSpace::Storage { .. } => storage += 1,
                AddressSpace::Handle => textures += 1,
                AddressSpace::WorkGroup => workgroup += size.next_multiple_of(16),
                AddressSpace::Uniform => {
                    uniform += 1;
                    ensure(size <= UNIFORM_BYTES, || {
                        format!("a uniform of {size} bytes")
                    })?;
                }
                _ => {}
            }
        }
        let [x, y, z] = module.entry_points[0].workgroup_size;
        ensure(storage <= STORAGE_BUFFERS, || {
            format!("{storage} storage buffers")
        })?;
        ensure(textures <= STORAGE_TEXTURES, || {
            format!("{textures} storage textures")
        })?;
        ensure(uniform <= UNIFORM_BUFFERS, || {
            format!("{uniform} uniform buffers")
        })?;
        ensure(workgroup <= WORKGROUP_BYTES, || {
            format!("{workgroup} bytes of workgroup memory")
        })?;
        ensure(x * y * z <= INVOCATIONS && z <= 64, || {
            format!("workgroup {x} x {y} x {z}")
        })
    });
}

#[test]
fn kernels_translate_to_spirv() {
    use spv::Capability as C;
    each_variant_of(
        |_| true,
        |kernel, module, info| {
            // What every Vulkan device has, and what the kernel needs.
            let mut allowed = vec![C::Shader];
            if !portable(kernel) {
                allowed.extend([
                    C::GroupNonUniform,
                    C::GroupNonUniformArithmetic,
                    C::GroupNonUniformShuffle,
                    C::GroupNonUniformBallot,
                ]);
            }
            if cooperative(kernel) {
                allowed.extend([C::Float16, C::CooperativeMatrixKHR, C::VulkanMemoryModel]);
            }
            let options = spv::Options {
                // Cooperative matrices come with Vulkan's memory model, in SPIR-V 1.5.
                lang_version: if cooperative(kernel) { (1, 5) } else { (1, 3) },
                capabilities: Some(allowed.into_iter().collect()),
                ..Default::default()
            };
            let pipeline = spv::PipelineOptions {
                shader_stage: ShaderStage::Compute,
                entry_point: "main".to_owned(),
            };
            let words = spv::write_vec(module, info, &options, Some(&pipeline))
                .map_err(|e| e.to_string())?;
            ensure(words.len() > 5, || "nothing after the header".to_owned())
        },
    );
}

#[test]
fn kernels_translate_to_msl() {
    each_variant(|module, info| {
        let options = msl::Options {
            lang_version: (2, 4),
            ..Default::default()
        };
        let (text, written) = msl::write_string(module, info, &options, &Default::default())
            .map_err(|e| e.to_string())?;
        for name in written.entry_point_names {
            name.map_err(|e| e.to_string())?;
        }
        ensure(text.contains("kernel"), || {
            "no kernel in the text".to_owned()
        })
    });
}

#[test]
fn kernels_translate_to_hlsl() {
    // naga's HLSL writer has no cooperative matrices, and gpu::features never allows them there.
    each_variant_of(
        |kernel| !cooperative(kernel),
        |_, module, info| {
            let options = hlsl::Options {
                shader_model: hlsl::ShaderModel::V6_0,
                ..Default::default()
            };
            let mut text = String::new();
            let pipeline = hlsl::PipelineOptions { entry_point: None };
            let written = hlsl::Writer::new(&mut text, &options, &pipeline)
                .write(module, info, None)
                .map_err(|e| e.to_string())?;
            for name in written.entry_point_names {
                name.map_err(|e| e.to_string())?;
            }
            ensure(text.contains("numthreads"), || {
                "no kernel in the text".to_owned()
            })
        },
    );
}

#[test]
fn kernels_translate_to_glsl_es() {
    each_variant_of(portable, |_, module, info| {
        // No binding map: blocks are bound by name.
        let options = glsl::Options {
            version: glsl::Version::new_gles(310),
            ..Default::default()
        };
        let pipeline = glsl::PipelineOptions {
            shader_stage: ShaderStage::Compute,
            entry_point: "main".to_owned(),
            multiview: None,
        };
        let mut text = String::new();
        glsl::Writer::new(
            &mut text,
            module,
            info,
            &options,
            &pipeline,
            Default::default(),
        )
        .map_err(|e| e.to_string())?
        .write()
        .map_err(|e| e.to_string())?;
        ensure(text.contains("local_size_x"), || {
            "no kernel in the text".to_owned()
        })
    });
}

#[test]
fn shaders_begin_with_their_contract() {
    each(|kernel| {
        let head = |part: &str| {
            part.lines()
                .take_while(|line| line.starts_with("//"))
                .count()
        };
        let (own, library) = kernel.parts.split_last().ok_or("has no text")?;
        ensure(head(own) >= 3, || {
            format!("{} lines of head comment, not 3", head(own))
        })?;
        ensure(library.iter().all(|part| head(part) >= 1), || {
            "a library file without a head comment".to_owned()
        })
    });
}

fn shaders() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("shaders")
}

#[test]
fn every_shader_file_is_a_kernel() {
    let files: BTreeSet<String> = std::fs::read_dir(shaders())
        .expect("shaders/ is there")
        .map(|entry| entry.expect("an entry").path())
        .filter(|path| path.extension().is_some_and(|e| e == "wgsl"))
        .filter_map(|path| Some(path.file_stem()?.to_str()?.to_owned()))
        .collect();
    let kernels: BTreeSet<String> = KERNELS.iter().map(|k| k.file.to_owned()).collect();
    assert_eq!(files, kernels, "shaders/*.wgsl and ops::KERNELS differ");
    let names: BTreeSet<&str> = KERNELS.iter().map(|k| k.name).collect();
    assert_eq!(
        names.len(),
        KERNELS.len(),
        "a kernel is listed twice, or two share a name"
    );
}

/// Whether there is such a command; if not, says that its test is skipped.
fn have(command: &str) -> bool {
    // Any answer will do: `tint --help` exits with 1.
    let found = Command::new(command).arg("--help").output().is_ok();
    if !found {
        println!("skipped: no `{command}` here");
    }
    found
}

#[test]
fn tint_accepts_every_kernel() {
    if !have("tint") {
        return;
    }
    let dir = tempfile::tempdir().expect("a temporary directory");
    each(|kernel| {
        // wgpu's own extension, or control flow that it cannot know to be uniform; no browser runs them.
        if cooperative(kernel) || kernel.needs == Needs::Lanes {
            return Ok(());
        }
        let file = dir.path().join(format!("{}.wgsl", kernel.name));
        std::fs::write(&file, kernel.source_for(true)).map_err(|e| e.to_string())?;
        let output = Command::new("tint")
            .args(["--format", "wgsl", "-o"])
            .arg(dir.path().join("out.wgsl"))
            .arg(&file)
            .output()
            .map_err(|e| e.to_string())?;
        ensure(output.status.success(), || {
            String::from_utf8_lossy(&output.stderr).into_owned()
        })
    });
}

#[test]
fn unrolled_shaders_are_what_the_generator_writes() {
    if !have("python3") {
        return;
    }
    for script in ["unroll.py", "unroll_attention.py"] {
        let output = Command::new("python3")
            .arg(shaders().join(script))
            .arg("--check")
            .output()
            .expect("python3 runs");
        assert!(
            output.status.success(),
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
    }
}
