#!/usr/bin/env python3
"""Copies candle-kernels out of cargo's registry without its GGUF and mixture-of-experts kernels.

usage: slim_candle_kernels.py TARGET_DIR

ebm never calls them, and they are more than half of a CUDA build. The PTX kernels stay as they are; the left-out
functions stay linkable and fail loudly.
"""

import pathlib
import re
import shutil
import sys

VERSION = "0.11.1"
ATTRIBUTES = "#![allow(unused_variables, dead_code, improper_ctypes_definitions, clippy::all)]\n"
REFUSAL = 'unimplemented!("quantized and MoE CUDA kernels are left out of this build")'


def registry_copy() -> pathlib.Path:
    found = sorted(pathlib.Path.home().glob(f".cargo/registry/src/*/candle-kernels-{VERSION}"))
    if not found:
        sys.exit(f"candle-kernels {VERSION} is not in cargo's registry: run `cargo fetch` first")
    return found[-1]


def without_moe_library(build: str) -> str:
    start = build.index("    let mut moe_sources")
    end = build.index("    Ok(())", start)
    build = build[:start] + build[end:]
    return build.replace('const CUTILE_FEATURE: &str = "CARGO_FEATURE_CUTILE";\n', "")


def as_stubs(ffi: str) -> str:
    start = ffi.index('extern "C" {') + len('extern "C" {')
    declarations = ffi[start : ffi.rindex("}")]

    def stub(m: re.Match) -> str:
        return f'pub unsafe extern "C" fn {m[1]}({m[2]}){m[3] or ""} {{ {REFUSAL} }}'

    body = re.sub(r"pub fn (\w+)\((.*?)\)(\s*->\s*\w+)?;", stub, declarations, flags=re.S)
    return ATTRIBUTES + "use core::ffi::c_void;\n" + body


def main() -> None:
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    target = pathlib.Path(sys.argv[1])
    shutil.rmtree(target, ignore_errors=True)
    shutil.copytree(registry_copy(), target)
    for name, change in {"build.rs": without_moe_library, "src/ffi.rs": as_stubs}.items():
        file = target / name
        file.write_text(change(file.read_text()))


if __name__ == "__main__":
    main()
