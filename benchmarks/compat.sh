#!/usr/bin/env bash
# Try the environment with other libraries, each in a fresh virtual environment of its own:
#   benchmarks/compat.sh [LIBRARY ...]      (default: all)
# TORCH says which torch is installed first; KEEP=1 keeps the environments under $DIR.
set -uo pipefail
cd "$(dirname "$0")/.."

libraries=(sb3 skrl torchrl tianshou agilerl benchmarl rllib sbx)
[ $# -eq 0 ] || libraries=("$@")
DIR=${DIR:-$(mktemp -d)}
failed=()

install() { # LIBRARY PYTHON
    "$2" -m pip install --quiet "${TORCH:-torch==2.13.0}" || return
    if [ "$1" = sb3 ]; then # comes with the trainer
        "$2" -m pip install --quiet --editable '.[train]'
    elif [ "$1" = benchmarl ]; then # without torchvision, which would replace torch
        "$2" -m pip install --quiet --editable . 'torchrl<0.12' hydra-core 'av<14' &&
            "$2" -m pip install --quiet --no-deps benchmarl
    else
        "$2" -m pip install --quiet --editable ".[$1]"
    fi && "$2" -m pip install --quiet pytest pytest-timeout hypothesis
}

for library in "${libraries[@]}"; do
    echo "== $library"
    python=$DIR/$library/bin/python
    case $library in
        sbx) tests=(tests/compat/test_sb3.py) ;;
        rllib) tests=(tests/compat/test_rllib.py tests/compat/test_cluster.py) ;;
        *) tests=("tests/compat/test_$library.py") ;;
    esac
    "${PYTHON:-python3}" -m venv "$DIR/$library" && install "$library" "$python" &&
        "$python" -m pip list 2>/dev/null |
        grep -iE "^(torch|numpy|pandas|gymnasium|pettingzoo|stable_baselines3|ray|jax|torchrl|${library}(-rl)?) " &&
        "$python" -m pytest -m compat -q "${tests[@]}" tests/compat/test_cleanrl.py ||
        failed+=("$library")
    [ -n "${KEEP:-}" ] || rm -rf "${DIR:?}/$library"
done
[ ${#failed[@]} -eq 0 ] && echo "all work: ${libraries[*]}" && exit
echo "failed: ${failed[*]}"
exit 1
