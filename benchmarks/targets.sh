#!/usr/bin/env bash
# Measures each of the project's targets for speed, and says whether it is met.
#
#   benchmarks/targets.sh                              every target, some 40 minutes
#   benchmarks/targets.sh --json targets.json          writes the figures under their names as well
#   benchmarks/targets.sh --only shipped_seconds compile_seconds
#
#   --model FOLDER    a model of the public checkpoint's size (default: runs/full-size, which is made there
#                     by tests/golden/make_random_model.py, 6.9 GB, when it is absent); what
#                     dalle2 convert --int8 makes of it, and is measured in int8, is FOLDER-int8
#   --python PYTHON   one that has torch, diffusers and transformers, and for clip_vs_openvino openvino
#                     (default: python3)
#   --build FOLDER    where the programs are (default: build; they are brought up to date)
#   --runs N          of each figure (default: 5; fewer of what takes longer than a minute)
#   --whole           karlo_vs_pytorch_bf16 from whole pictures, drawn once by each program, instead of
#                     steps times the seconds of a step
#   --markdown FILE   also writes the rows as a table of Markdown, for README.md
#   --list            the names of the targets
#
# A figure is the median of the runs. Rows with a ratio have both sides measured in turns, in one run;
# the karlo rows and the one of training against the best of PyTorch in float32 and bfloat16, those of
# CLIP at equal precision. What lacks something here (PyTorch, a model) is told with its reason, and is
# no failure. A target is missed by its figure, by a wrong output, or because what measures it failed;
# then the script ends with 1.
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

# row NAME more|less REQUIRED UNIT COMMAND [NOTE]: the figures, numbers on one line, come from the
# environment; WRONG there is the reason why they do not count.
row() {
  python3 - "$work/rows" "$@" << 'PY'
import json, os, statistics, sys
folder, name, better, required, unit, command, note = (sys.argv[1:] + [""])[:7]
wrong = os.environ.get("WRONG", "")
values = [float(word) for word in os.environ["FIGURES"].split()]
required, figure = float(required), statistics.median(values)
met = (figure >= required if better == "more" else figure <= required) and not wrong
print(f"{name:28} {figure:8.2f} {unit:6} {'≥' if better == 'more' else '≤'} {required:<5g} "
      f"{'met   ' if met else 'MISSED'}  {min(values):.2f} / {figure:.2f} / {max(values):.2f}"
      f"{'  ' + note if note else ''}{'  ' + wrong if wrong else ''}", flush=True)
row = {"figure": figure, "min": min(values), "median": figure, "max": max(values), "unit": unit,
       "required": required, "better": better, "met": met, "command": command}
row |= {key: text for key, text in (("note", note), ("reason", wrong)) if text}
json.dump(row, open(os.path.join(folder, name + ".json"), "w"))
PY
}
# no_figure met|null NAME more|less REQUIRED REASON
no_figure() {
  python3 -c 'import json, sys
json.dump({"figure": None, "required": float(sys.argv[5]), "better": sys.argv[4], "met": json.loads(sys.argv[2]),
           "reason": sys.argv[6]}, open(f"{sys.argv[1]}/{sys.argv[3]}.json", "w"))' "$work/rows" "$@"
}
# Something that it needs is not here.
skip() { # NAME more|less REQUIRED REASON
  printf '%-28s        –        not measured: %s\n' "$1" "$4"
  no_figure null "$@"
}
# What measures it does not work.
fail() { # NAME more|less REQUIRED REASON
  printf '%-28s        –        MISSED: %s\n' "$1" "$4"
  no_figure false "$@"
}
# What a Python expression makes of a JSON file, which it calls r.
figures() { python3 -c 'import json, sys
r = json.load(open(sys.argv[1]))
print(eval(sys.argv[2]))' "$1" "$2"; }
failure() { echo "it failed: $(tail -n 1 "$log" | cut -c 1-150)"; }

# What stops a target is written to these two: something is not here, or something does not work.
missing=
broken=

# Whether a target is asked for and nothing stops it; otherwise its row says so.
possible() { # NAME more|less REQUIRED
  wanted "$1" || return 1
  if [ -n "$broken" ]; then fail "$@" "$broken"; return 1; fi
  if [ -n "$missing" ]; then skip "$@" "$missing"; return 1; fi
}

program() { # TARGET
  [ -z "$missing$broken" ] || return 0
  say "building $1"
  { [ -f "$build/CMakeCache.txt" ] || cmake -S "$root" -B "$build" -DCMAKE_BUILD_TYPE=Release; } > "$log" 2>&1 &&
    cmake --build "$build" --parallel "$(build_jobs)" --target "$1" > "$log" 2>&1 ||
    broken="cannot build $1: $(grep -m 1 -E 'error|Error' "$log" || tail -n 1 "$log")"
}

needs_torch() {
  "$python" -c 'import torch, diffusers, transformers' 2> /dev/null ||
    missing="$python has no torch, diffusers and transformers (--python names another)"
}

needs_model() {
  [ -z "$missing$broken" ] || return 0
  [ ! -f "$model/model_index.json" ] || return 0
  "$python" -c 'import torch, diffusers, transformers' 2> /dev/null ||
    { missing="$model is no model, and $python has no torch, diffusers and transformers to make one"; return 0; }
  say "making $model, 6.9 GB"
  "$python" "$root/tests/golden/make_random_model.py" "$model" > "$log" 2>&1 || broken="$model: $(failure)"
}

needs_int8_model() {
  [ -z "$missing$broken" ] || return 0
  [ ! -f "$model-int8/model_index.json" ] || return 0
  program dalle2_tool
  [ -z "$broken" ] || return 0
  say "converting to $model-int8"
  "$build/examples/dalle2/dalle2" convert "$model" "$model-int8" --int8 > "$log" 2>&1 ||
    broken="dalle2 convert --int8: $(failure)"
}

# --- Shares of the peak

# share NAME REQUIRED NETWORK GFLOP NOTE [OPTIONS]
share() {
  local name=$1 required=$2 network=$3 gflop=$4 note=$5
  shift 5
  wanted "$name" || return 0
  missing='' broken=''
  needs_model
  program dalle2_benchmark_stages
  possible "$name" more "$required" || return 0
  say "$name"
  if "$build/benchmarks/stages" "$model" --engine bfloat16 --only "$network" --runs "$runs" --json "$work/stages.json" "$@" > "$log" 2>&1; then
    FIGURES=$(figures "$work/stages.json" \
      "' '.join(str(n['$gflop'] / n['seconds'][f] / n['peak_gflops']) for n in r['networks'] for f in ('max', 'median', 'min'))") \
      row "$name" more "$required" "" "benchmarks/stages MODEL --engine bfloat16 --only $network${*:+ $*}" "$note"
  else
    fail "$name" more "$required" "$(failure)"
  fi
}
effective="effective: a 3×3 convolution counts as its direct sum"
share decoder_peak_share 0.75 decoder gflop "$effective"
share super_resolution_peak_share 0.80 super_res_first gflop "$effective"
# As the pipeline runs it: of the prompt's tokens alone. The work is counted as if all had been there.
share prior_peak_share 0.80 prior gflop_untrimmed \
  "the work of all 77 tokens, in the seconds of the 12 that the prompt has" --tokens 12

# --- Beside other programs

# compare JSON OPTIONS...: whether benchmarks/compare_pytorch.py ran to its end, with right outputs
# or with wrong ones. No JSON is left of one that did not.
compare() {
  local file=$1 status=0
  shift
  "$python" "$here/compare_pytorch.py" --stages "$build/benchmarks/stages" --runs "$runs" --json "$file" "$@" 2>&1 |
    tee "$log" | { grep '^\.\.\.' >&2 || true; }
  status=${PIPESTATUS[0]}
  [ "$status" -ne 0 ] && [ "$status" -ne 3 ] || return 0
  rm -f "$file"
  return 1
}

# What was wrong, of the outputs in a comparison's JSON; nothing when all were right.
wrong_outputs() {
  figures "$1" "'; '.join(c['case'] + ', ' + c['precision'] + ': ' + c['wrong'] for c in r['cases'] if 'wrong' in c)"
}

karlo() { # NAME REQUIRED PRECISION [OPTIONS]
  local name=$1 required=$2 precision=$3 which=picture_from_steps found wrong
  shift 3
  program dalle2_benchmark_stages
  possible "$name" more "$required" || return 0
  local options=(--precisions "$precision" --rivals eager compiled --best-precision)
  if [ -n "$whole" ]; then
    options+=(--only picture --runs 1)
    which=picture
  else
    options+=(--only clip_text_1 prior decoder super_res)
  fi
  say "$name"
  if ! compare "$work/karlo.json" "$model" "${options[@]}" "$@"; then
    fail "$name" more "$required" "$(failure)"
    return
  fi
  wrong=$(wrong_outputs "$work/karlo.json")
  found=$(figures "$work/karlo.json" \
    "' '.join(str(c['vs_pytorch'][f]) for c in r['cases'] if c['case'] == '$which' and 'vs_pytorch' in c for f in ('min', 'median', 'max'))")
  if [ -z "$found" ]; then
    fail "$name" more "$required" "${wrong:-no rival ran: $(grep -m 1 'left out' "$log" | sed 's/^ *//')}"
    return
  fi
  FIGURES=$found WRONG=$wrong row "$name" more "$required" times \
    "benchmarks/compare_pytorch.py MODEL ${options[*]}${*:+ --dalle2-model MODEL-int8}" \
    "$(figures "$work/karlo.json" "' '.join('%s: %.0f %% in int8;' % (c['case'], 100 * c['int8_share'])
        for c in r['cases'] if 'int8_share' in c).rstrip(';')")"
}
if wanted karlo_vs_pytorch_bf16; then
  missing='' broken=''
  needs_torch
  needs_model
  karlo karlo_vs_pytorch_bf16 2.5 bfloat16
fi
if wanted karlo_int8_vs_pytorch_bf16; then
  missing='' broken=''
  needs_torch
  needs_model
  needs_int8_model
  karlo karlo_int8_vs_pytorch_bf16 4 int8 --dalle2-model "$model-int8"
fi

if wanted shipped_seconds; then
  missing='' broken=''
  program dalle2_tool
  picture() {
    "$build/examples/dalle2/dalle2" generate "an owl above a snowman on a pink background" --seed 7 -o "$work/owl.png" > "$log" 2>&1
  }
  # The first does not count.
  pictures() {
    picture || return 1
    seconds=
    for _ in $(seq "$runs"); do
      began=$(date +%s%N)
      picture || return 1
      seconds+=" $(($(date +%s%N) - began))e-9"
    done
  }
  if possible shipped_seconds less 0.5; then
    say shipped_seconds
    if pictures; then
      FIGURES=$seconds row shipped_seconds less 0.5 s 'dalle2 generate "an owl above a snowman on a pink background" --seed 7'
    else
      fail shipped_seconds less 0.5 "$(failure)"
    fi
  fi
fi

# The worst of text and picture, one and sixteen at once, in each precision.
clip() { # NAME REQUIRED EXPRESSION NOTE
  possible "$1" more "$2" || return 0
  local worst wrong
  wrong=$(wrong_outputs "$work/clip.json")
  # The median of a row is its figure: here it is the worst case's.
  worst=$(figures "$work/clip.json" "' '.join(map(str, min(filter(None, (($3) for c in r['cases'])), key=lambda v: v[1], default=[])))")
  if [ -z "$worst" ]; then
    fail "$1" more "$2" "${wrong:-no rival ran: $(grep -m 1 'left out' "$log" | sed 's/^ *//')}"
    return
  fi
  FIGURES=$worst WRONG=$wrong row "$1" more "$2" times "benchmarks/compare_pytorch.py MODEL --only clip; the worst case" "$4"
}
if wanted clip_vs_pytorch || wanted clip_vs_openvino; then
  missing='' broken=''
  needs_torch
  needs_model
  program dalle2_benchmark_stages
  if [ -z "$missing$broken" ]; then
    say CLIP
    compare "$work/clip.json" "$model" --only clip || broken=$(failure)
  fi
  clip clip_vs_pytorch 1.5 "[c['vs_pytorch'][f] for f in ('min', 'median', 'max')] if 'vs_pytorch' in c else []" ""
  "$python" -c 'import openvino' 2> /dev/null || missing=${missing:-$python has no openvino (--python names another)}
  # (Without instructions for bfloat16 OpenVINO takes float32, and there is no equal precision.)
  clip clip_vs_openvino 1 \
    "(lambda o: [o['ratio'][f] for f in ('min', 'median', 'max')] if o and o['precision'] == c['precision'] else [])(c.get('contenders', {}).get('openvino'))" \
    "$([ ! -f "$work/clip.json" ] || figures "$work/clip.json" "'' if any(c.get('contenders', {}).get('openvino', {}).get('precision') == 'bfloat16'
        for c in r['cases']) else 'float32 alone: here OpenVINO has no bfloat16'")"
fi

if wanted training_vs_pytorch; then
  missing='' broken=''
  needs_torch
  program dalle2_benchmark_training
  if possible training_vs_pytorch more 1.5; then
    say training_vs_pytorch
    if ! "$build/benchmarks/training" --batch 24 --rounds "$runs" --pytorch "$python" --json "$work/training.json" > "$log" 2>&1; then
      fail training_vs_pytorch more 1.5 "$(failure)"
    else
      found=$(figures "$work/training.json" \
        "' '.join(str(r['tasks']['decoder']['vs_pytorch'][f]) for f in ('min', 'median', 'max')) if 'vs_pytorch' in r['tasks']['decoder'] else ''")
      if [ -n "$found" ]; then
        FIGURES=$found row training_vs_pytorch more 1.5 times "benchmarks/training --batch 24 --pytorch python3" \
          "$(figures "$work/training.json" "'%(dalle2)s beside %(pytorch)s' % r['tasks']['decoder']['vs_pytorch']")"
      else
        fail training_vs_pytorch more 1.5 "no rival ran: $(grep -m 1 'left out' "$log")"
      fi
    fi
  fi
fi

if wanted compile_seconds || wanted compile_gigabytes; then
  missing='' broken=''
  [ -x /usr/bin/time ] || missing="/usr/bin/time was not found (Debian: apt-get install time)"
  seconds='' gigabytes=''
  compiler=${CXX:-g++}
  if [ -z "$missing" ]; then
    say compile_seconds
    sed -n '/^```cpp$/,/^```$/{/^```/!p}' "$root/README.md" > "$work/program.cpp"
    flags="-std=c++20 -O2 -fopenmp -I$root/include -I${EIGEN:-/usr/include/eigen3}"
    for _ in $(seq "$((runs < 3 ? runs : 3))"); do
      # shellcheck disable=SC2086 # several words
      /usr/bin/time -f '%e %M' -o "$work/time" "$compiler" $flags "$work/program.cpp" -o "$work/program" -lutf8proc > "$log" 2>&1 ||
        { broken="it does not compile: $(grep -m 1 error "$log" || tail -n 1 "$log")"; break; }
      seconds+=" $(cut -d ' ' -f 1 "$work/time")"
      gigabytes+=" $(awk '{print $2 * 1024e-9}' "$work/time")"  # of KiB
    done
  fi
  how="$compiler -std=c++20 -O2 -fopenmp, the program of README.md"
  if possible compile_seconds less 20; then FIGURES=$seconds row compile_seconds less 20 s "$how"; fi
  if possible compile_gigabytes less 1.5; then FIGURES=$gigabytes row compile_gigabytes less 1.5 GB "$how"; fi
fi

# --- What was found

missed=$(python3 - "$work/rows" "$json" "$markdown" "${names[@]}" << 'PY'
import contextlib, glob, json, os, platform, sys
folder, path, markdown, *names = sys.argv[1:]
rows = {n: json.load(open(f"{folder}/{n}.json")) for n in names if os.path.exists(f"{folder}/{n}.json")}
report = {"machine": platform.machine(), "cores": len(os.sched_getaffinity(0))}
for program in glob.glob(os.path.join(os.path.dirname(folder), "*.json")):  # all say the same
    with contextlib.suppress(ValueError, KeyError, TypeError):
        measured = json.load(open(program))
        report |= {key: measured[key] for key in ("isa", "threads")}
if path:
    with open(path, "w") as file:
        json.dump(report | {"targets": rows}, file, indent=2)
        file.write("\n")
if markdown:
    with open(markdown, "w") as file:
        file.write("| target | required | minimum / median / maximum | met | command |\n| --- | --- | --- | --- | --- |\n")
        for name, row in rows.items():
            sign, unit = "≥" if row["better"] == "more" else "≤", row.get("unit", "").replace("times", "×")
            words = {True: "yes", False: "no", None: "–"}[row["met"]]
            if row["figure"] is None:
                found = f"{'not measured' if row['met'] is None else 'failed'}: {row['reason']} | {words} | –"
            else:
                found = f"{row['min']:.2f} / {row['median']:.2f} / {row['max']:.2f} {unit} | {words}"
                found += f": {row['reason']}" if "reason" in row else ""
                found += f" | `{row['command']}`" + (f"; {row['note']}" if "note" in row else "")
            file.write(f"| {name} | {sign} {row['required']:g} {unit} | {found} |\n")
print(sum(row["met"] is False for row in rows.values()))
PY
)
[ "$missed" = 0 ] || exit 1
