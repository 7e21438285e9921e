//! The dictionaries of a session: those with weights, and the precomputed pages of one.

use std::io::Read;
use std::rc::Rc;

use super::problem::{Problem, Result};
use super::state::OpenDictionary;
use super::survey::Survey;
use super::{Files, Subject, given};
use crate::data::tensors::TensorFile;
use crate::gpu::Gpu;
use crate::harvest::Site;
use crate::report::atlas::Atlas;
use crate::sae::Sae;

/// A dictionary, with what its files were.
pub struct Dictionary {
    /// Its name.
    pub name: String,
    /// On the GPU, and where its activations are from; `None` while only its pages are there.
    pub open: Option<(Sae, Site)>,
    /// What is known of its features: precomputed, or found when somebody asked.
    pub atlas: Option<Atlas>,
    /// What its pages are made of, where they were not precomputed.
    pub(super) survey: Option<Rc<Survey>>,
    files: Files,
}

/// All dictionaries.
#[derive(Default)]
pub(super) struct Library {
    all: Vec<Dictionary>,
    chosen: Option<usize>,
}

/// The file of that name.
pub(super) fn file<'a>(files: &'a Files, name: &str) -> Option<&'a [u8]> {
    let found = files.iter().find(|(n, _)| n == name)?;
    Some(&found.1)
}

/// A name as a file may have it everywhere.
pub(super) fn file_name(name: &str) -> String {
    let plain = |c: char| {
        if c.is_alphanumeric() || "-_.+=".contains(c) {
            c
        } else {
            '-'
        }
    };
    let name: String = name.chars().map(plain).collect();
    let name = name.trim_matches(['.', '-']);
    if name.is_empty() {
        "dictionary".to_owned()
    } else {
        name.to_owned()
    }
}

/// The bytes of a file that may be gzip.
pub(super) fn inflated(name: &str, bytes: Vec<u8>) -> Result<Vec<u8>> {
    if !bytes.starts_with(&[0x1f, 0x8b]) {
        return Ok(bytes);
    }
    let mut out = Vec::new();
    flate2::read::GzDecoder::new(bytes.as_slice())
        .read_to_end(&mut out)
        .map_err(|e| Problem::input(format!("{name} is damaged ({e}). Load it again")))?;
    Ok(out)
}

impl Library {
    /// Takes the precomputed pages of a dictionary whose weights may come later.
    pub(super) fn add_atlas(&mut self, files: &Files) -> Result<()> {
        let bytes = file(files, "atlas.json.gz")
            .ok_or_else(|| Problem::internal("no atlas.json.gz came with the request"))?;
        let atlas = Atlas::from_json_gz(bytes).map_err(|e| {
            Problem::input(format!(
                "atlas.json.gz is damaged ({e}). Load the page again"
            ))
        })?;
        let name = atlas.dictionary.sae.clone();
        self.put(Dictionary {
            name,
            open: None,
            atlas: Some(atlas),
            survey: None,
            files: Files::new(),
        });
        Ok(())
    }

    /// Opens the files of a dictionary; its precomputed pages are kept if they came before, under its name.
    pub(super) fn add_files(
        &mut self,
        gpu: &Gpu,
        subject: Option<&Subject>,
        name: &str,
        files: Files,
    ) -> Result<()> {
        let subject = subject.ok_or_else(|| Problem::input("load the model first"))?;
        let sae = build(gpu, name, &files)?;
        let site = site(&sae, name, subject)?;
        let atlas = self
            .position(name)
            .and_then(|i| self.all[i].atlas.take())
            .filter(|a| a.hook == sae.origin.hook && a.eval.d_sae == sae.d_sae);
        self.put(Dictionary {
            name: name.to_owned(),
            open: Some((sae, site)),
            atlas,
            survey: None,
            files,
        });
        Ok(())
    }

    /// Puts a dictionary among the others, in the place of one with its name, and uses it.
    pub(super) fn put(&mut self, dictionary: Dictionary) {
        let at = match self.position(&dictionary.name) {
            Some(at) => {
                self.all[at] = dictionary;
                at
            }
            None => {
                self.all.push(dictionary);
                self.all.len() - 1
            }
        };
        self.chosen = Some(at);
    }

    /// `wanted`, or that with a number behind it where a dictionary has that name already.
    pub(super) fn free_name(&self, wanted: &str) -> String {
        let mut name = wanted.to_owned();
        let mut n = 2;
        while self.position(&name).is_some() {
            name = format!("{wanted} {n}");
            n += 1;
        }
        name
    }

    fn position(&self, name: &str) -> Option<usize> {
        self.all.iter().position(|d| d.name == name)
    }

    pub(super) fn choose(&mut self, name: &str) -> Result<()> {
        let at = self.position(name);
        self.chosen =
            Some(at.ok_or_else(|| Problem::input(format!("no dictionary is called {name}")))?);
        Ok(())
    }

    pub(super) fn chosen_name(&self) -> Option<&str> {
        self.all.get(self.chosen?).map(|d| d.name.as_str())
    }

    /// The dictionary in use.
    pub(super) fn chosen(&self) -> Result<&Dictionary> {
        self.chosen.and_then(|at| self.all.get(at)).ok_or_else(|| {
            Problem::input("no dictionary is open: train one, or drop the folder of one")
        })
    }

    /// The same, to add to what is known of it.
    pub(super) fn chosen_mut(&mut self) -> Result<&mut Dictionary> {
        self.chosen
            .and_then(|at| self.all.get_mut(at))
            .ok_or_else(|| {
                Problem::input("no dictionary is open: train one, or drop the folder of one")
            })
    }

    /// Makes the dictionaries again on another device.
    pub(super) fn reopen(&mut self, gpu: &Gpu) -> Result<()> {
        for dictionary in &mut self.all {
            if let Some((sae, _)) = &mut dictionary.open {
                *sae = build(gpu, &dictionary.name, &dictionary.files)?;
            }
        }
        Ok(())
    }

    /// Another model is opened: dictionaries that do not belong to it are closed.
    pub(super) fn follow(&mut self, gpu: &Gpu, subject: &Subject) {
        let name = self.chosen_name().map(str::to_owned);
        self.all.retain_mut(|d| {
            d.open.as_ref().map_or(
                d.atlas
                    .as_ref()
                    .is_some_and(|a| a.model.name == subject.model.name()),
                |(sae, _)| {
                    sae.origin.model == subject.model.name() && site(sae, &d.name, subject).is_ok()
                },
            )
        });
        self.chosen = name
            .and_then(|name| self.position(&name))
            .or(self.all.len().checked_sub(1));
        gpu.trim();
    }

    /// For the page.
    pub(super) fn described(&self) -> Vec<OpenDictionary> {
        self.all.iter().map(Dictionary::described).collect()
    }
}

impl Dictionary {
    /// A dictionary that was just made, from the files that open it again.
    pub(super) fn new(name: String, sae: Sae, site: Site, files: Files) -> Dictionary {
        Dictionary {
            name,
            open: Some((sae, site)),
            atlas: None,
            survey: None,
            files,
        }
    }

    /// Its weights and site.
    ///
    /// # Errors
    /// Only its pages are there.
    pub fn weights(&self) -> Result<(&Sae, Site)> {
        self.open
            .as_ref()
            .map(|(sae, site)| (sae, *site))
            .ok_or_else(|| {
                Problem::input("load the model first: only the dictionary's pages are here")
            })
    }

    /// What was read or made: `cfg.json`, `sae_weights.safetensors` and what else came.
    pub(super) fn files(&self) -> &Files {
        &self.files
    }

    fn described(&self) -> OpenDictionary {
        let sae = self.open.as_ref().map(|(sae, _)| sae);
        let atlas = self.atlas.as_ref();
        OpenDictionary {
            name: self.name.clone(),
            title: sae.map(Sae::title).unwrap_or_default(),
            hook: sae.map_or_else(
                || atlas.map_or(String::new(), |a| a.hook.clone()),
                |s| s.origin.hook.clone(),
            ),
            features: sae.map_or_else(|| atlas.map_or(0, |a| a.eval.d_sae), |s| s.d_sae),
            weights: sae.is_some(),
            pages: atlas.is_some(),
        }
    }
}

fn build(gpu: &Gpu, name: &str, files: &Files) -> Result<Sae> {
    let cfg = given::text(files, "cfg.json")?;
    let weights = given::file(files, "sae_weights.safetensors")?;
    let weights = TensorFile::from_bytes("sae_weights.safetensors", weights.to_vec())?;
    Ok(Sae::from_parts(gpu, name, cfg, &weights)?)
}

fn site(sae: &Sae, name: &str, subject: &Subject) -> Result<Site> {
    Site::of(sae, &subject.model, None).map_err(|e| {
        Problem::input(format!(
            "{name} does not belong to {}: {}",
            subject.model.name(),
            Problem::from(e).message
        ))
    })
}
