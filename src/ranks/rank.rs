//! Which rank this process is, by its environment.

use std::ffi::OsString;
use std::net::SocketAddr;

use crate::{Error, Result};

/// The variables by which whoever starts ranks tells each its place.
const RANK: &str = "EBM_RANK";
const ADDRESS: &str = "EBM_RANKS_ADDRESS";
const TOKEN: &str = "EBM_RANKS_TOKEN";

/// The first of the ports for ranks that SLURM starts, and how many there are.
const PORTS: (u16, u64) = (20_000, 20_000);

/// The place of a process among the ranks of a run that others have started.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rank {
    /// Its number.
    pub rank: usize,
    /// Its number among those of the same machine.
    pub local: usize,
    /// Where rank 0 listens, `host:port`.
    pub address: String,
    /// What only ranks of this run know.
    pub token: String,
}

impl Rank {
    /// The place that the environment gives to this process in a run of so many ranks; none where it started alone, and
    /// so starts the others.
    ///
    /// Whoever starts ranks by hand sets `EBM_RANK` and `EBM_RANKS_ADDRESS`, that of rank 0. The tasks of a step of
    /// SLURM are ranks too: `srun -n 4 ebm train … --ranks 4`.
    ///
    /// # Errors
    /// The environment speaks of another number of ranks, or in part.
    pub fn of(ranks: usize, var: &dyn Fn(&str) -> Option<String>) -> Result<Option<Self>> {
        let number = |name: &str| -> Result<Option<usize>> {
            let Some(text) = var(name) else { return Ok(None) };
            let what = || wrong(format!("{name} = {text:?} is no number"));
            text.parse().map(Some).map_err(|_| what())
        };
        if let Some(rank) = number(RANK)? {
            let address = var(ADDRESS).ok_or_else(|| wrong(format!("{RANK} is set, and {ADDRESS} is not")))?;
            let token = var(TOKEN).unwrap_or_default();
            return checked(Rank { rank, local: rank, address, token }, ranks).map(Some);
        }
        let Some(tasks) = number("SLURM_STEP_NUM_TASKS")?.filter(|tasks| *tasks > 1) else { return Ok(None) };
        if tasks != ranks {
            return Err(wrong(format!("srun started {tasks} tasks, one a rank, and --ranks says {ranks}")));
        }
        let need = |name: &'static str| var(name).ok_or_else(|| wrong(format!("srun has not set {name}")));
        let rank = number("SLURM_PROCID")?.ok_or_else(|| wrong("srun has not set SLURM_PROCID".into()))?;
        let (job, step) = (need("SLURM_JOB_ID")?, var("SLURM_STEP_ID").unwrap_or_default());
        let nodes = var("SLURM_STEP_NODELIST").map_or_else(|| need("SLURM_JOB_NODELIST"), Ok)?;
        let known = job.parse::<u64>().unwrap_or(0).wrapping_add(step.parse::<u64>().unwrap_or(0));
        let port = PORTS.0 + u16::try_from(known % PORTS.1).unwrap_or(0);
        let address = format!("{}:{port}", first_host(&nodes));
        let local = number("SLURM_LOCALID")?.unwrap_or(0);
        checked(Rank { rank, local, address, token: format!("slurm {job}.{step}") }, ranks).map(Some)
    }

    /// The port of rank 0.
    ///
    /// # Errors
    /// The address has none.
    pub fn port(&self) -> Result<u16> {
        let port = self.address.rsplit_once(':').and_then(|(_, port)| port.parse().ok());
        port.ok_or_else(|| wrong(format!("the address of rank 0, {:?}, is no host:port", self.address)))
    }
}

/// The environment that tells a process on the same machine its place.
pub fn spawned(rank: usize, address: SocketAddr, token: &str) -> [(&'static str, OsString); 3] {
    [(RANK, rank.to_string().into()), (ADDRESS, address.to_string().into()), (TOKEN, token.into())]
}

fn checked(place: Rank, ranks: usize) -> Result<Rank> {
    if place.rank >= ranks {
        return Err(wrong(format!("this is to be rank {} of {ranks}, and the first is 0", place.rank)));
    }
    place.port().map(|_| place)
}

fn wrong(message: String) -> Error {
    Error::config(message).hint("start one process with --ranks N, or as many as there are ranks, each with --ranks N")
}

/// The first host of a list as SLURM writes them, such as `node[03-05,9],gpu1`.
fn first_host(nodes: &str) -> String {
    let end = nodes.find([',', '[']).unwrap_or(nodes.len());
    let (name, rest) = nodes.split_at(end);
    let Some(inside) = rest.strip_prefix('[') else { return name.to_owned() };
    let (numbers, behind) = inside.split_once(']').unwrap_or((inside, ""));
    let first = numbers.split([',', '-']).next().unwrap_or_default();
    format!("{name}{first}{}", behind.split(',').next().unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(ranks: usize, set: &[(&str, &str)]) -> Result<Option<Rank>> {
        Rank::of(ranks, &|name| set.iter().find(|(n, _)| *n == name).map(|(_, v)| (*v).to_owned()))
    }

    #[test]
    fn hosts_are_read_as_slurm_writes_them() {
        let all = [("a", "a"), ("a,b", "a"), ("n[03-05,9],g1", "n03"), ("n[7]", "n7"), ("r[1-2]c", "r1c")];
        for (list, first) in all {
            assert_eq!(first_host(list), first, "{list}");
        }
    }

    #[test]
    fn a_process_has_the_place_that_its_starter_gives() {
        assert_eq!(of(2, &[]).unwrap(), None);
        let hand = [(RANK, "1"), (ADDRESS, "host:99")];
        let place = of(2, &hand).unwrap().unwrap();
        assert_eq!((place.rank, place.local, place.port().unwrap()), (1, 1, 99));
        // A script that sbatch runs is a job of four tasks, but no step.
        assert_eq!(of(4, &[("SLURM_NTASKS", "4"), ("SLURM_PROCID", "0")]).unwrap(), None);
        let step = [
            ("SLURM_STEP_NUM_TASKS", "4"),
            ("SLURM_PROCID", "3"),
            ("SLURM_LOCALID", "1"),
            ("SLURM_JOB_ID", "40017"),
            ("SLURM_STEP_ID", "2"),
            ("SLURM_STEP_NODELIST", "gpu[01-02]"),
        ];
        let place = of(4, &step).unwrap().unwrap();
        assert_eq!((place.rank, place.local, place.address.as_str()), (3, 1, "gpu01:20019"));
        assert_eq!(place.token, "slurm 40017.2");
        assert_eq!(of(4, &step).unwrap(), of(4, &step).unwrap());
    }

    #[test]
    fn contradictions_are_told() {
        for (ranks, set, says) in [
            (2, &[(RANK, "2"), (ADDRESS, "h:1")][..], "rank 2 of 2"),
            (2, &[(RANK, "1")], "EBM_RANKS_ADDRESS is not"),
            (2, &[(RANK, "x"), (ADDRESS, "h:1")], "is no number"),
            (2, &[(RANK, "1"), (ADDRESS, "h")], "no host:port"),
            (2, &[("SLURM_STEP_NUM_TASKS", "4"), ("SLURM_PROCID", "0")], "srun started 4 tasks"),
            (4, &[("SLURM_STEP_NUM_TASKS", "4")], "SLURM_PROCID"),
        ] {
            let error = of(ranks, set).unwrap_err();
            assert!(error.to_string().contains(says) && error.exit_code() == 2, "{error}");
        }
    }
}
