#!/usr/bin/env bash
# Tests and benchmarks on a GPU, as many as fit in nine minutes; prints a table at the end.
#
#     bash tools/gpu_check.sh      or: make gpu-check
#
# Needs python3 with NumPy, CuPy, pytest and Hypothesis; uses pytest-xdist, PyTorch, JAX,
# compute-sanitizer and ncu if available. It needs no network, installs nothing, imports the package
# from this checkout and does not change the settings of the GPU. A failed step does not stop the
# others. Exit status: 0 if all steps passed, 1 if one failed, 3 if no GPU can be used.
#
#   A  versions; the bits of every family of kernels
#   B  side by side: tests marked gpu; those of PyTorch and JAX; compute-sanitizer
#   C  alone on the GPU: timings against fill, memset and CuPy; networks with hidden layers
#      against torch.compile and JAX
#   D  ncu of a few launches
#   E  in the remaining time: timings of torch.compile and JAX; tests of more than 2^31 bytes
#
# Variables: PYTHON; GPU_CHECK_SECONDS, the total time (540); GPU_CHECK_OUT, the folder for at most
# eight files of results (build/gpu-check); GPU_CHECK_WORKERS, for pytest-xdist (10);
# GPU_CHECK_EXAMPLES, for property tests (30); GPU_CHECK_PARTS, some of ABCDE; GPU_CHECK_DRY=1 only
# prints the steps.
set -u
cd "$(dirname "$0")/.." || exit 2
here=tools/gpu_check
python=${PYTHON:-python3}
seconds=${GPU_CHECK_SECONDS:-540}
out=${GPU_CHECK_OUT:-build/gpu-check}
examples=${GPU_CHECK_EXAMPLES:-30}
parts=${GPU_CHECK_PARTS:-ABCDE}
dry=${GPU_CHECK_DRY:-}
report_seconds=20 # of the total: for the table, and for the last step to end

logs=$(mktemp -d)
stop() { # ends running steps after an interrupt
    local file
    for file in "$logs"/running.*; do
        [ -e "$file" ] && kill "${file##*.}" 2>/dev/null
    done
    rm -rf "$logs"
}
trap stop EXIT
mkdir -p "$out"
rm -f "$out"/*.log "$out"/*.json "$out"/ncu.*

export PYTHONPATH="$PWD${PYTHONPATH:+:$PYTHONPATH}" PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1
export CUPY_CACHE_DIR=$logs/cupy NUMBA_CACHE_DIR=$logs/numba TORCHINDUCTOR_CACHE_DIR=$logs/inductor
export XLA_PYTHON_CLIENT_PREALLOCATE=false TF_CPP_MIN_LOG_LEVEL=2 OMP_NUM_THREADS=2 MPLBACKEND=Agg
for folder in /usr/local/cuda*/bin /opt/nvidia/nsight-compute/*; do
    [ -d "$folder" ] && PATH="$PATH:$folder"
done

left() { echo $((seconds - report_seconds - SECONDS)); }
has() { [[ $parts == *$1* ]]; }

# step NAME LIMIT COMMAND...: runs within LIMIT seconds and the remaining time; output goes to a log.
# When the time is over, the command gets $signal (default TERM), and $patience (3) seconds to end.
step() {
    local name=$1 limit=$2 began=$SECONDS status
    shift 2
    if [ -n "$dry" ]; then
        echo "$name, at most $limit s: $*"
        return 0
    fi
    (($(left) < limit)) && limit=$(left)
    if ((limit < 2)); then
        echo "$name 0 no time left" >>"$logs/steps"
        return 0
    fi
    timeout -s "${signal:-TERM}" -k "${patience:-3}" "$limit" "$@" >"$logs/$name.log" 2>&1 &
    touch "$logs/running.$!"
    wait $!
    status=$?
    rm -f "$logs/running.$!"
    case $status in
        0) status=passed ;;
        124 | 137) status="cut after $limit s" ;;
        *) status="failed ($status)" ;;
    esac
    # If all tests were skipped or deselected, the step has not passed.
    if grep -qE "(skipped|deselected|no tests ran).* in [0-9.]+s" "$logs/$name.log" &&
        ! grep -qE "[0-9] (passed|failed|error)" "$logs/$name.log"; then
        status="no test ran"
    fi
    echo "$name $((SECONDS - began)) $status" >>"$logs/steps"
}

# tests NAME LIMIT EXAMPLES ARGUMENTS...: tests marked gpu.
tests() {
    local name=$1 limit=$2 drawn=$3
    shift 3
    signal=INT patience=12 step "$name" "$limit" env MULTISUBNET_TEST_EXAMPLES="$drawn" \
        "$python" $here/run_tests.py -o addopts= \
        --strict-markers -p no:cacheprovider -q -ra --tb=short --durations=10 "$@"
}

# ------------------------------------------------------------------------------------------------ A
if has A; then
    step first_contact 80 "$python" $here/first_contact.py
    if grep -q "^no GPU" "$logs/first_contact.log" 2>/dev/null; then
        cat "$logs/first_contact.log"
        exit 3
    fi
fi

# ------------------------------------------------------------------------------------------------ B
if has B; then
    spread=()
    "$python" -c "import xdist" 2>/dev/null && spread=(-n "${GPU_CHECK_WORKERS:-10}" --dist worksteal)
    # JAX uses the CPU here; otherwise each worker would take GPU memory for it.
    JAX_PLATFORMS=cpu tests tests 190 "$examples" tests --ignore=tests/frameworks \
        -m "gpu and not large" --maxfail=40 "${spread[@]}" &
    {
        tests pytorch 100 10 tests/frameworks/test_torch.py -m gpu
        tests jax 60 10 tests/frameworks/test_jax.py -m gpu
    } &
    for tool in memcheck racecheck initcheck synccheck; do
        if command -v compute-sanitizer >/dev/null || [ -n "$dry" ]; then
            step $tool 50 compute-sanitizer --tool $tool --error-exitcode 9 --print-limit 20 \
                "$python" $here/few_launches.py all
        fi
    done &
    wait
fi

# ------------------------------------------------------------------------------------------------ C
bench() { # NAME SECONDS ARGUMENTS...
    local name=$1 limit=$2
    shift 2
    step "$name" "$((limit + 20))" "$python" benchmarks/gpu.py --seconds "$limit" \
        --results "$logs/$name" "$@"
}
if has C; then
    bench timings 110 --contenders fill ElementwiseKernel
    # Outputs of 1-h-h-1 networks first, then their losses and gradients as time allows.
    bench networks 70 --only networks --sizes 100,569,30 1000,1000,30 \
        --contenders "baddbmm, compiled" "jax.jit(vmap"
fi

# ------------------------------------------------------------------------------------------------ D
if has D && { command -v ncu >/dev/null || [ -n "$dry" ]; }; then
    step ncu 60 ncu --profile-from-start off --clock-control none --set full \
        -f -o "$logs/ncu" "$python" $here/few_launches.py profiled
    if [ -f "$logs/ncu.ncu-rep" ]; then
        timeout 15 ncu -i "$logs/ncu.ncu-rep" --page details >"$out/ncu.txt" 2>&1
        timeout 15 ncu -i "$logs/ncu.ncu-rep" --page raw --csv >"$logs/ncu.csv" 2>/dev/null
        (($(stat -c %s "$logs/ncu.ncu-rep") < 15000000)) && cp "$logs/ncu.ncu-rep" "$out"
    fi
fi

# ------------------------------------------------------------------------------------------------ E
if has E; then
    bench peers 60 --only affine losses --sizes 1000,569,30 --contenders torch.compile jax
    tests large 60 5 tests/test_agreement.py -m "gpu and large"
fi
[ -n "$dry" ] && exit 0

# ------------------------------------------------------------------------------------------ results
gather() { # FILE STEPS...: at most 10 MB of the steps' output
    local file=$1 name
    shift
    for name; do
        [ -f "$logs/$name.log" ] && echo "==== $name" && tail -c 2000000 "$logs/$name.log"
    done >"$out/$file.log"
}
gather first_contact first_contact
gather tests tests large
gather frameworks pytorch jax
gather sanitizer memcheck racecheck initcheck synccheck
gather timings timings networks peers ncu
timeout 7 "$python" $here/table.py "$logs" "$out" || cat "$logs/steps"
! grep -qE " (failed|cut after) |^tests .* no test ran" "$logs/steps"
