//! `ebm doctor`: what a device is, and whether it computes what it should.

use candle_core::{DType, Device};
use clap::Args;
use serde_json::{Map, Value, json};

use super::{GlobalArgs, output};
use crate::device::{self, Precision};
use crate::ops::OpCheck;
use crate::run::{layout, show};
use crate::{Error, Result};

/// Says what a device is, and holds every operation on it against the same in f64 on the CPU, values and gradients.
#[derive(Args)]
pub struct DoctorArgs {
    /// Only says what the device is
    #[arg(long)]
    facts: bool,
}

/// A way to compute: its name, the type of the tensors, how a GPU multiplies.
type Way = (&'static str, DType, Precision);

/// The ways that are tried on a device.
fn ways(device: &Device) -> Vec<Way> {
    let mut ways = vec![("f64", DType::F64, Precision::F32), ("f32", DType::F32, Precision::F32)];
    if device.is_cuda() {
        ways.extend([("tf32", DType::F32, Precision::Tf32), ("bf16", DType::F32, Precision::Bf16)]);
    }
    ways
}

/// An operation, and how far it is off in each way; or why it failed.
struct Finding {
    name: String,
    found: Vec<(Way, Result<f64>, f64)>,
}

impl Finding {
    fn of(check: &OpCheck, device: &Device, ways: &[Way]) -> Self {
        let look = |&way: &Way| {
            let (_, dtype, precision) = way;
            device::set_precision(precision);
            (way, check.distance(dtype, device), check.bound(dtype, precision))
        };
        let found = ways.iter().map(look).collect();
        device::set_precision(Precision::default());
        Finding { name: check.name.clone(), found }
    }

    fn fine(&self) -> bool {
        self.found.iter().all(|(_, off, bound)| off.as_ref().is_ok_and(|off| off <= bound))
    }

    fn cells(&self) -> Vec<String> {
        let cell = |(_, off, bound): &(Way, Result<f64>, f64)| match off {
            Ok(off) if off <= bound => show::number(*off, 2),
            Ok(off) => format!("{} OFF", show::number(*off, 2)),
            Err(_) => "FAILED".to_owned(),
        };
        std::iter::once(self.name.clone()).chain(self.found.iter().map(cell)).collect()
    }

    /// What there is to say of each way that is not as it should be.
    fn complaints(&self) -> impl Iterator<Item = String> {
        self.found.iter().filter_map(|((way, ..), off, bound)| {
            let wrong = match off {
                Ok(off) if off <= bound => return None,
                Ok(off) => format!("off by {}, where {bound:e} is the bound", show::number(*off, 2)),
                Err(error) => error.to_string(),
            };
            Some(format!("{} in {way}: {wrong}", self.name))
        })
    }

    fn json(&self) -> Value {
        let one = |((way, ..), off, bound): &(Way, Result<f64>, f64)| {
            let error = off.as_ref().err().map(ToString::to_string);
            let off = off.as_ref().ok().copied();
            ((*way).to_owned(), json!({ "off": off, "bound": bound, "error": error }))
        };
        json!({ "operation": self.name, "ok": self.fine(), "ways": self.found.iter().map(one).collect::<Map<_, _>>() })
    }
}

/// Looks at the device; an operation that is wrong on it is exit code 1.
pub fn run(args: &DoctorArgs, global: &GlobalArgs) -> Result<()> {
    let device = device::open(global.device.as_deref().unwrap_or("cpu"))?;
    let facts = device::facts(&device)?;
    let checks = if args.facts { Vec::new() } else { OpCheck::all()? };
    let ways = ways(&device);
    let findings: Vec<Finding> = checks.iter().map(|check| Finding::of(check, &device, &ways)).collect();
    if global.json {
        let facts: Map<String, Value> = facts.into_iter().map(|(name, said)| (name.to_owned(), said.into())).collect();
        let operations: Vec<Value> = findings.iter().map(Finding::json).collect();
        output::print_json(&json!({ "facts": facts, "operations": operations }))?;
    } else {
        output::print(&told(&facts, &ways, &findings))?;
    }
    verdict(&device, &findings)
}

fn told(facts: &[(&str, String)], ways: &[Way], findings: &[Finding]) -> String {
    let widest = layout::widest(facts.iter().map(|(name, _)| *name));
    let fact = |(name, said): &(&str, String)| layout::beside(name, widest + 2, said, output::columns());
    let mut text: String = facts.iter().map(fact).collect();
    if !findings.is_empty() {
        let head = std::iter::once("operation").chain(ways.iter().map(|(name, ..)| *name)).map(str::to_owned);
        let rows: Vec<Vec<String>> =
            std::iter::once(head.collect()).chain(findings.iter().map(Finding::cells)).collect();
        text += "\nThe largest error of value and gradients, as a share of the largest entry:\n\n";
        text += &output::fitted(&rows);
    }
    text
}

fn verdict(device: &Device, findings: &[Finding]) -> Result<()> {
    let complaints: Vec<String> = findings.iter().flat_map(Finding::complaints).collect();
    if complaints.is_empty() {
        return Ok(());
    }
    let wrong = findings.iter().filter(|finding| !finding.fine()).count();
    let (name, all) = (device::name(device), findings.len());
    Err(Error::Other(format!("{wrong} of {all} operations are wrong on {name}:\n{}", complaints.join("\n"))))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_wrong_is_said_and_what_is_right_is_not() {
        let way = ("f32", DType::F32, Precision::F32);
        let finding = |off: Result<f64>| Finding { name: "dot".into(), found: vec![(way, off, 1e-5)] };
        let fine = finding(Ok(1e-6));
        assert!(fine.fine() && verdict(&Device::Cpu, &[fine]).is_ok());
        for (off, said) in [
            (Ok(2e-5), "off by"),
            (Ok(f64::NAN), "off by"),
            (Ok(f64::INFINITY), "off by"),
            (Err(Error::Other("no kernel".into())), "no kernel"),
        ] {
            let error = verdict(&Device::Cpu, &[finding(Ok(0.0)), finding(off)]).unwrap_err();
            assert_eq!(error.exit_code(), 1);
            let error = error.to_string();
            assert!(error.starts_with("1 of 2 operations") && error.contains("dot in f32") && error.contains(said));
        }
    }
}
