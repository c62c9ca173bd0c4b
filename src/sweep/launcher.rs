//! `[launcher]` of a plan: where trials run, and what a task of a job array asks of SLURM.

use serde::{Deserialize, Serialize};

use crate::config::{Document, Problems, Schema, Section, SectionKind, decode, rule};

/// Where trials run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Scheduler {
    /// On this machine, while the command runs.
    #[default]
    Local,
    /// As a SLURM job array; the command returns at once.
    Slurm,
}

crate::config! {
    /// Keys of `[launcher]`.
    pub struct Launcher {
        /// Where trials run: local, or slurm for a job array.
        name: Scheduler = Scheduler::Local;
        /// With slurm: the partition; empty for the cluster's own.
        partition: String = String::new();
        /// GPUs of a task; it runs as many trials at a time, each on one of them.
        gpus: u64 = 0;
        /// The time limit of a task, such as "04:00:00". Before it, trials save, and the task is queued again.
        time: String = String::new();
        /// The memory of a task, such as "8G".
        mem: String = String::new();
        /// Cores of a task, which its trials share.
        cpus: u64 = 1, rule::at_least(1);
        /// At most so many tasks run at a time; 0 for no limit.
        array_limit: u64 = 0;
        /// Seconds before the time limit at which a task is told to save.
        warning: u64 = 120, rule::at_least(1);
        /// Further arguments of sbatch, such as ["--account=lab"].
        sbatch_args: Vec<String> = Vec::new();
    }
}

impl Launcher {
    /// The section, which is called like this in a plan.
    pub const KEY: &'static str = "launcher";

    /// Reads the section of a plan.
    ///
    /// # Errors
    /// All that is wrong with it.
    pub(super) fn read(plan: &Document) -> std::result::Result<Self, Problems> {
        let section = Section { key: Self::KEY, kind: SectionKind::Plain(Schema::of::<Self>()) };
        let table = plan.only(&[Self::KEY]).check(&[section])?.section(Self::KEY);
        decode(&table).map_err(|e| plan.problems_at(Self::KEY, e.to_string(), None))
    }

    /// The arguments of sbatch for an array of so many tasks.
    pub(super) fn sbatch(&self, tasks: usize) -> Vec<String> {
        let limit = if self.array_limit > 0 { format!("%{}", self.array_limit) } else { String::new() };
        let always = [
            "--parsable".to_owned(),
            "--requeue".to_owned(),
            "--open-mode=append".to_owned(),
            format!("--array=0-{}{limit}", tasks.saturating_sub(1)),
            // To this program alone, which stands in the place of the shell and tells its trials.
            format!("--signal=B:USR1@{}", self.warning),
            format!("--cpus-per-task={}", self.cpus),
        ];
        let texts = [("partition", &self.partition), ("time", &self.time), ("mem", &self.mem)];
        let given = texts.into_iter().filter(|(_, value)| !value.is_empty());
        let gpus = (self.gpus > 0).then(|| format!("--gpus={}", self.gpus));
        always.into_iter().chain(given.map(|(key, value)| format!("--{key}={value}"))).chain(gpus).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_given_is_asked_of_slurm() {
        let plan = |text: &str| Document::from_str("p.toml", text, &[]).unwrap();
        let read = |text: &str| Launcher::read(&plan(text)).map_err(|p| p.into_result().unwrap_err().to_string());
        assert_eq!(read("seeds = 1\n").unwrap(), Launcher::default());
        let launcher = read("[launcher]\nname = \"slurm\"\ntime = \"1:00\"\narray_limit = 2\ngpus = 4\n").unwrap();
        let args = launcher.sbatch(7).join(" ");
        assert!(args.contains("--array=0-6%2") && args.contains("--time=1:00") && args.contains("--gpus=4"), "{args}");
        assert!(!args.contains("--partition") && !args.contains("--mem"), "{args}");
        for (text, says) in
            [("naem = \"slurm\"", "did you mean `name`?"), ("name = \"slrum\"", "did you mean `slurm`?")]
        {
            let error = read(&format!("[launcher]\n{text}\n")).unwrap_err();
            assert!(error.contains(says) && error.contains("p.toml:2"), "{error}");
        }
    }
}
