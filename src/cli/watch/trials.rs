//! What an onlooker knows of a sweep, or of any folder of runs: a row a trial, read from files as they are.

use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::Result;
use crate::metrics::Metrics;
use crate::run::{Declared, Manifest, Paths, Status, folders, metrics, standing_if, timing};

/// One trial as its row shows it.
pub struct Trial {
    /// The run folder, which need not be there yet.
    pub dir: PathBuf,
    /// Its name.
    pub name: String,
    /// `waiting`, or as the run stands.
    pub status: &'static str,
    /// The last logged step.
    pub step: u64,
    /// Steps of the whole run; 0 where that is not known.
    pub total: u64,
    /// The newest value of every number.
    pub newest: Metrics,
    /// How long it trained, once it has ended.
    pub seconds: Option<f64>,
}

/// All trials of a folder.
pub struct Trials {
    /// The folder.
    pub dir: PathBuf,
    /// A row each, in the order of the plan.
    pub rows: Vec<Trial>,
    /// What numbers are.
    pub declared: Declared,
}

impl Trials {
    /// The trials of the sweep in `dir`, begun or not; the runs below a folder that is none.
    ///
    /// # Errors
    /// The folder cannot be listed.
    pub fn of(dir: &Path) -> Result<Self> {
        let mut trials = Trials { dir: dir.into(), rows: Vec::new(), declared: Declared::everything() };
        trials.refresh()?;
        Ok(trials)
    }

    /// Looks again at what may have changed: a trial that has ended for good is not read twice.
    ///
    /// # Errors
    /// The folder cannot be listed.
    pub fn refresh(&mut self) -> Result<()> {
        for (dir, name) in self.listed()? {
            match self.rows.iter_mut().find(|row| row.dir == dir) {
                Some(row) if row.seconds.is_some() => {}
                Some(row) => row.refresh(),
                None => {
                    let (newest, seconds) = (Metrics::new(), None);
                    let mut row = Trial { dir, name, status: "waiting", step: 0, total: 0, newest, seconds };
                    row.refresh();
                    self.rows.push(row);
                }
            }
        }
        Ok(())
    }

    /// Folders and names of all trials.
    fn listed(&self) -> Result<Vec<(PathBuf, String)>> {
        let plan = std::fs::read(self.dir.join("sweep.json")).ok();
        let plan: Option<Value> = plan.and_then(|bytes| serde_json::from_slice(&bytes).ok());
        let ids = plan.as_ref().and_then(|plan| plan.get("trials")?.as_array());
        if let Some(ids) = ids {
            let ids = ids.iter().filter_map(|trial| trial.get("id")?.as_str());
            return Ok(ids.map(|id| (self.dir.join(id), id.to_owned())).collect());
        }
        let found = folders(&self.dir, &|dir| Paths::of(dir).manifest().exists())?;
        let name = |dir: &Path| dir.strip_prefix(&self.dir).unwrap_or(dir).display().to_string();
        Ok(found.into_iter().map(|dir| (dir.clone(), name(&dir))).collect())
    }

    /// The number that the rows show: the first that a probe declares to matter, and that some trial has.
    pub fn number(&self) -> Option<&str> {
        let known = |name: &&str| self.rows.iter().any(|row| row.newest.get(name).is_some());
        let leads = self.rows.iter().flat_map(|row| self.declared.leads(&row.newest)).map(|(name, _)| name);
        // Those of probes come first among the declared.
        self.declared
            .names()
            .find(|name| leads.clone().any(|lead| lead == *name))
            .filter(known)
            .or_else(|| leads.clone().next())
    }

    /// How many trials stand so.
    pub fn count(&self, status: &str) -> usize {
        self.rows.iter().filter(|row| row.status == status).count()
    }

    /// Seconds until all have ended, by what those that have took, if some are under way.
    pub fn left(&self) -> Option<f64> {
        let known: Vec<f64> = self.rows.iter().filter_map(|row| row.seconds).collect();
        let mean = known.iter().sum::<f64>() / known.len() as f64;
        let open = |row: &&Trial| matches!(row.status, "waiting" | "running" | "interrupted" | "killed");
        let work: f64 = self.rows.iter().filter(open).map(|row| mean * (1.0 - row.share())).sum();
        let running = self.count("running");
        (running > 0 && !known.is_empty()).then(|| work / running as f64)
    }
}

impl Trial {
    fn refresh(&mut self) {
        let paths = Paths::of(&self.dir);
        let Ok(manifest) = Manifest::load(&paths.manifest()) else { return };
        self.status = standing_if(&manifest, || paths.living_user().is_some());
        (self.step, self.total) = (manifest.last_step, manifest.steps);
        self.newest = manifest.last_metrics;
        // The manifest of a run under way is older than its log.
        if manifest.status != Status::Finished
            && let Some((step, newest)) = metrics::last(&paths.metrics())
        {
            (self.step, self.newest) = (step, newest);
        }
        if matches!(manifest.status, Status::Finished | Status::Diverged | Status::Failed) {
            self.seconds = Some(timing::seconds(&paths.timing()).unwrap_or_default());
        }
    }

    /// How much of it is done, from 0 to 1.
    pub fn share(&self) -> f64 {
        match (self.status, self.total) {
            ("finished", _) => 1.0,
            (_, 0) => 0.0,
            (_, total) => (self.step as f64 / total as f64).min(1.0),
        }
    }
}
