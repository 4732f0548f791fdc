#!/usr/bin/env bash
# Measures each of the project's targets for speed, and says whether it is met.
#
#   benchmarks/targets.sh                              every target, some 40 minutes
#   benchmarks/targets.sh --json targets.json          writes the figures under their names as well
#   benchmarks/targets.sh --only shipped_seconds compile_seconds
#
#   --model FOLDER    a model of the public checkpoint's size (default: runs/full-size, which is made there
#                     by tests/golden/make_random_model.py, 6.9 GB, when it is absent)
#   --python PYTHON   one that has torch, diffusers and transformers, and for clip_vs_openvino openvino
#                     (default: python3)
#   --build FOLDER    where the programs are (default: build; what is missing is built)
#   --runs N          of each figure (default: 5; fewer of what takes longer than a minute)
#   --whole           karlo_vs_pytorch_bf16 from whole pictures, drawn once by each program, instead of
#                     steps times the seconds of a step
#   --markdown FILE   also writes the rows as a table of Markdown, for README.md
#   --list            the names of the targets
#
# A figure is the median of the runs. Rows with a ratio have both sides measured in turns, in one run.
# What cannot be measured here is told with its reason, and is no failure; the script ends with 1 when
# a target is missed.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
root=$(dirname "$here")

# shellcheck source=../cmake/build-jobs.sh
. "$root/cmake/build-jobs.sh"

names=(decoder_peak_share super_resolution_peak_share prior_peak_share karlo_vs_pytorch_bf16
       karlo_int8_vs_pytorch_bf16 shipped_seconds clip_vs_pytorch clip_vs_openvino
       training_vs_pytorch compile_seconds compile_gigabytes)
model=$root/runs/full-size
python=python3
build=$root/build
runs=5
json=
markdown=
whole=
only=()

stop() { echo "targets.sh: $1" >&2; exit 2; }
value_of() { [ $# -ge 2 ] || stop "$1 needs a value"; echo "$2"; }
while [ $# -gt 0 ]; do
  case $1 in
    -h | --help) sed -n '2,/^set -/{/^set -/!s/^# \{0,1\}//p}' "$0"; exit 0 ;;
    --list) printf '%s\n' "${names[@]}"; exit 0 ;;
    --model) model=$(value_of "$@"); shift 2 ;;
    --python) python=$(value_of "$@"); shift 2 ;;
    --build) build=$(value_of "$@"); shift 2 ;;
    --runs) runs=$(value_of "$@"); shift 2 ;;
    --json) json=$(value_of "$@"); shift 2 ;;
    --markdown) markdown=$(value_of "$@"); shift 2 ;;
    --whole) whole=yes; shift ;;
    --only)
      shift
      while [ $# -gt 0 ] && [[ $1 != --* ]]; do
        [[ " ${names[*]} " == *" $1 "* ]] || stop "there is no target \"$1\"; there are ${names[*]}"
        only+=("$1")
        shift
      done
      [ ${#only[@]} -gt 0 ] || stop "--only needs names of targets; --list tells them" ;;
    *) stop "unknown option $1; --help tells what there is" ;;
  esac
done
[[ $runs =~ ^[1-9][0-9]*$ ]] || stop "--runs $runs; expected a whole number from 1 on"
command -v python3 > /dev/null || stop "python3 was not found; it reads the figures (Debian: apt-get install python3)"
[ -z "$json" ] || mkdir -p "$(dirname "$json")"

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
log=$work/log
mkdir "$work/rows"

wanted() { [ ${#only[@]} -eq 0 ] || [[ " ${only[*]} " == *" $1 "* ]]; }
say() { echo "... $*" >&2; }

# row NAME more|less REQUIRED UNIT COMMAND: the figures, numbers on one line, come from standard input.
row() {
  python3 - "$work/rows" "$@" << 'PY'
import json, os, statistics, sys
folder, name, better, required, unit, command = sys.argv[1:]
values = [float(word) for word in os.environ["FIGURES"].split()]
required, figure = float(required), statistics.median(values)
met = figure >= required if better == "more" else figure <= required
print(f"{name:28} {figure:8.2f} {unit:6} {'≥' if better == 'more' else '≤'} {required:<5g} "
      f"{'met   ' if met else 'MISSED'}  {min(values):.2f} / {figure:.2f} / {max(values):.2f}", flush=True)
json.dump({"figure": figure, "min": min(values), "median": figure, "max": max(values), "unit": unit,
           "required": required, "better": better, "met": met, "command": command},
          open(os.path.join(folder, name + ".json"), "w"))
PY
}
skip() { # NAME more|less REQUIRED REASON
  printf '%-28s        –        not measured: %s\n' "$1" "$4"
  python3 -c 'import json, sys
json.dump({"figure": None, "required": float(sys.argv[4]), "better": sys.argv[3], "met": None, "reason": sys.argv[5]},
          open(f"{sys.argv[1]}/{sys.argv[2]}.json", "w"))' "$work/rows" "$@"
}
# What a Python expression makes of a JSON file, which it calls r.
figures() { python3 -c 'import json, sys
r = json.load(open(sys.argv[1]))
print(eval(sys.argv[2]))' "$1" "$2"; }
failure() { echo "it failed: $(tail -n 1 "$log" | cut -c 1-150)"; }

program() { # TARGET FILE
  [ -x "$build/$2" ] && return
  say "building $2"
  { [ -f "$build/CMakeCache.txt" ] || cmake -S "$root" -B "$build" -DCMAKE_BUILD_TYPE=Release; } > "$log" 2>&1 &&
    cmake --build "$build" --parallel "$(build_jobs)" --target "$1" > "$log" 2>&1 ||
    stop "cannot build $2: $(grep -m 1 -E 'error|Error' "$log" || tail -n 1 "$log")"
}

# Why there is no model of the public size, or nothing.
full_size_model() {
  [ -f "$model/model_index.json" ] && return
  "$python" -c 'import torch, diffusers, transformers' 2> /dev/null ||
    { echo "$model is no model, and $python has no torch, diffusers and transformers to make one"; return; }
  say "making $model, 6.9 GB"
  "$python" "$root/tests/golden/make_random_model.py" "$model" > "$log" 2>&1 || failure
}

torch_missing() {
  "$python" -c 'import torch, diffusers, transformers' 2> /dev/null ||
    echo "$python has no torch, diffusers and transformers (--python names another)"
}

# --- Shares of the peak

# share NAME REQUIRED NETWORK GFLOP [OPTIONS]
share() {
  local name=$1 required=$2 network=$3 gflop=$4
  shift 4
  wanted "$name" || return 0
  local missing
  missing=$(full_size_model)
  if [ -n "$missing" ]; then skip "$name" more "$required" "$missing"; return; fi
  program dalle2_benchmark_stages benchmarks/stages
  say "$name"
  if "$build/benchmarks/stages" "$model" --engine bfloat16 --only "$network" --runs "$runs" --json "$work/stages.json" "$@" > "$log" 2>&1; then
    FIGURES=$(figures "$work/stages.json" \
      "' '.join(str(n['$gflop'] / n['seconds'][f] / n['peak_gflops']) for n in r['networks'] for f in ('max', 'median', 'min'))") \
      row "$name" more "$required" "" "benchmarks/stages MODEL --engine bfloat16 --only $network $*"
  else
    skip "$name" more "$required" "$(failure)"
  fi
}
share decoder_peak_share 0.75 decoder gflop
share super_resolution_peak_share 0.80 super_res_first gflop
# As the pipeline runs it: of the prompt's tokens alone. The work is counted as if all had been there.
share prior_peak_share 0.80 prior gflop_untrimmed --tokens 12

# --- Beside other programs

# compare JSON OPTIONS...: whether benchmarks/compare_pytorch.py ran.
compare() {
  local file=$1
  shift
  program dalle2_benchmark_stages benchmarks/stages
  "$python" "$here/compare_pytorch.py" "$@" --stages "$build/benchmarks/stages" --runs "$runs" --json "$file" \
    > >(tee "$log" | grep '^\.\.\.' >&2) 2>&1 || grep -q WRONG "$log"
}

karlo() { # NAME REQUIRED PRECISION
  wanted "$1" || return 0
  local missing
  missing=$(torch_missing)
  [ -n "$missing" ] || missing=$(full_size_model)
  if [ -n "$missing" ]; then skip "$1" more "$2" "$missing"; return; fi
  local options=(--precisions "$3" --rivals eager compiled) which=picture_from_steps
  if [ -n "$whole" ]; then
    options+=(--only picture --runs 1)
    which=picture
  else
    options+=(--only clip_text_1 prior decoder super_res)
  fi
  say "$1"
  if compare "$work/karlo.json" "$model" "${options[@]}" &&
    FIGURES=$(figures "$work/karlo.json" \
      "' '.join(str(c['vs_pytorch'][f]) for c in r['cases'] if c['case'] == '$which' for f in ('min', 'median', 'max'))") &&
    [ -n "$FIGURES" ]; then
    FIGURES=$FIGURES row "$1" more "$2" times "benchmarks/compare_pytorch.py MODEL ${options[*]}"
  else
    skip "$1" more "$2" "$(failure)"
  fi
}
karlo karlo_vs_pytorch_bf16 2.5 bfloat16

if wanted karlo_int8_vs_pytorch_bf16; then
  program dalle2_tool examples/dalle2/dalle2
  if "$build/examples/dalle2/dalle2" generate --help | grep -q int8; then
    karlo karlo_int8_vs_pytorch_bf16 4 int8
  else
    skip karlo_int8_vs_pytorch_bf16 more 4 "dalle2 has no engine int8"
  fi
fi

if wanted shipped_seconds; then
  program dalle2_tool examples/dalle2/dalle2
  say shipped_seconds
  seconds=
  picture() {
    "$build/examples/dalle2/dalle2" generate "an owl above a snowman on a pink background" --seed 7 -o "$work/owl.png" > "$log" 2>&1
  }
  if picture; then
    for _ in $(seq "$runs"); do
      began=$(date +%s%N)
      picture
      seconds+=" $(($(date +%s%N) - began))e-9"
    done
    FIGURES=$seconds row shipped_seconds less 0.5 s 'dalle2 generate "an owl above a snowman on a pink background" --seed 7'
  else
    skip shipped_seconds less 0.5 "$(failure)"
  fi
fi

# The worst of text and picture, one and sixteen at once, in each precision.
clip() { # NAME REQUIRED EXPRESSION
  wanted "$1" || return 0
  if [ ! -f "$work/clip.json" ]; then skip "$1" more "$2" "$clip_missing"; return; fi
  local found
  found=$(figures "$work/clip.json" "' '.join(str(x) for c in r['cases'] for x in ($3))")
  if [ -z "$found" ]; then skip "$1" more "$2" "no case of it could be measured"; return; fi
  # The median of a row is its figure: here it is the worst case's.
  local worst
  worst=$(figures "$work/clip.json" "min(([x for x in ($3)] for c in r['cases'] if ($3)), key=lambda v: v[1])")
  FIGURES=$(tr -d '[],' <<< "$worst") row "$1" more "$2" times "benchmarks/compare_pytorch.py MODEL --only clip; the worst case"
}
if wanted clip_vs_pytorch || wanted clip_vs_openvino; then
  clip_missing=$(torch_missing)
  [ -n "$clip_missing" ] || clip_missing=$(full_size_model)
  if [ -z "$clip_missing" ]; then
    say CLIP
    compare "$work/clip.json" "$model" --only clip || clip_missing=$(failure)
  fi
  clip clip_vs_pytorch 1.5 "[c['vs_pytorch'][f] for f in ('min', 'median', 'max')] if 'vs_pytorch' in c else []"
  clip clip_vs_openvino 1 \
    "[c['contenders']['openvino']['ratio'][f] for f in ('min', 'median', 'max')] if 'openvino' in c['contenders'] else []"
fi

if wanted training_vs_pytorch; then
  missing=$(torch_missing)
  if [ -n "$missing" ]; then
    skip training_vs_pytorch more 1.5 "$missing"
  else
    program dalle2_benchmark_training benchmarks/training
    say training_vs_pytorch
    if "$build/benchmarks/training" --batch 24 --pytorch "$python" --json "$work/training.json" > "$log" 2>&1 &&
      FIGURES=$(figures "$work/training.json" "min([x['seconds'] for x in r['rows'] if 'PyTorch' in x['name']], default=0) \
        / min(x['seconds'] for x in r['rows'] if 'PyTorch' not in x['name'])") && [ "$FIGURES" != 0.0 ]; then
      FIGURES=$FIGURES row training_vs_pytorch more 1.5 times "benchmarks/training --batch 24 --pytorch python3"
    else
      skip training_vs_pytorch more 1.5 "$(failure)"
    fi
  fi
fi

if wanted compile_seconds || wanted compile_gigabytes; then
  if [ ! -x /usr/bin/time ]; then
    skip compile_seconds less 20 "/usr/bin/time was not found (Debian: apt-get install time)"
    skip compile_gigabytes less 1.5 "/usr/bin/time was not found (Debian: apt-get install time)"
  else
    say compile_seconds
    sed -n '/^```cpp$/,/^```$/{/^```/!p}' "$root/README.md" > "$work/program.cpp"
    compiler=${CXX:-g++}
    options="-std=c++20 -O2 -fopenmp -I$root/include -I${EIGEN:-/usr/include/eigen3}"
    seconds= gigabytes=
    for _ in $(seq "$((runs < 3 ? runs : 3))"); do
      # shellcheck disable=SC2086 # several words
      /usr/bin/time -f '%e %M' -o "$work/time" "$compiler" $options "$work/program.cpp" -o "$work/program" -lutf8proc > "$log" 2>&1 || break
      read -r taken memory < "$work/time"
      seconds+=" $taken" gigabytes+=" ${memory}e-6"
    done
    how="$compiler -std=c++20 -O2 -fopenmp, the program of README.md"
    for unit in seconds gigabytes; do
      required=$([ $unit = seconds ] && echo 20 || echo 1.5)
      wanted compile_$unit || continue
      if [ -z "${!unit}" ]; then
        skip compile_$unit less "$required" "it does not compile: $(grep -m 1 error "$log")"
      else
        FIGURES=${!unit} row compile_$unit less "$required" "$([ $unit = seconds ] && echo s || echo GB)" "$how"
      fi
    done
  fi
fi

# --- What was found

missed=$(python3 - "$work/rows" "$json" "$markdown" "${names[@]}" << 'PY'
import json, os, platform, sys
folder, path, markdown, *names = sys.argv[1:]
rows = {n: json.load(open(f"{folder}/{n}.json")) for n in names if os.path.exists(f"{folder}/{n}.json")}
if path:
    with open(path, "w") as file:
        json.dump({"machine": platform.machine(), "cores": len(os.sched_getaffinity(0)), "targets": rows}, file, indent=2)
        file.write("\n")
if markdown:
    with open(markdown, "w") as file:
        file.write("| target | required | minimum / median / maximum | met | command |\n| --- | --- | --- | --- | --- |\n")
        for name, row in rows.items():
            sign, unit = "≥" if row["better"] == "more" else "≤", row.get("unit", "").replace("times", "×")
            found = (f"not measured: {row['reason']} | – | –" if row["figure"] is None else
                     f"{row['min']:.2f} / {row['median']:.2f} / {row['max']:.2f} {unit} | "
                     f"{'yes' if row['met'] else 'no'} | `{row['command']}`")
            file.write(f"| {name} | {sign} {row['required']:g} {unit} | {found} |\n")
print(sum(row["met"] is False for row in rows.values()))
PY
)
[ "$missed" = 0 ] || exit 1
