#!/usr/bin/env bash
# Run ansible-test on a throw-away copy of what a user installs: ansible-test insists on a path that ends in
# ansible_collections/hardshell/xen and on a git repository of its own.
# usage: ansible_test.sh VENV ARGUMENT...
set -euo pipefail
venv=$(realpath "${1:?usage: ansible_test.sh VENV ARGUMENT...}")
shift
root=$(cd "$(dirname "$0")/../.." && pwd)

# A home of its own: ansible-test keeps its virtual environments there, and its cache is prepared below.
home=${XDG_CACHE_HOME:-$HOME/.cache}/hardshell.xen/ansible-test
mkdir -p "$home/.ansible/test/cache" "$home/.config"
for settings in .pip .config/pip .config/uv; do
    if [[ -e $HOME/$settings && ! -e $home/$settings ]]; then
        ln -s "$HOME/$settings" "$home/$settings"
    fi
done

# ansible-test fetches a pip bootstrap from a host of its own, which not every machine reaches; Python brings one.
for version in 24_2 25_2; do
    cat >"$home/.ansible/test/cache/get_pip_$version.py" <<'BOOTSTRAP'
import subprocess
import sys

subprocess.check_call([sys.executable, "-m", "ensurepip", "--default-pip"])
arguments = [argument for argument in sys.argv[1:] if argument not in ("--no-setuptools", "--no-wheel")]
sys.exit(subprocess.call([sys.executable, "-m", "pip", "install", *arguments]))
BOOTSTRAP
done

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
copy=$work/ansible_collections/hardshell/xen
mkdir -p "$copy"
cd "$root"
git ls-files -z --cached --others --exclude-standard -- \
    galaxy.yml README.md CHANGELOG.rst CHANGELOG.md LICENSE changelogs docs extensions meta playbooks plugins roles \
    tests/config.yml tests/sanity |
    while IFS= read -r -d '' file; do [[ -e $file ]] && printf '%s\0' "$file"; done |
    tar --create --null --files-from - | tar --extract --directory "$copy"
git init --quiet "$copy"

cd "$copy"
exec 9>"$home/.lock"
flock 9
export HOME=$home LC_ALL=C.UTF-8 PATH="$venv/bin:$PATH"
unset XDG_CACHE_HOME XDG_CONFIG_HOME
command=$1
shift
python_version=$(python -c 'import sys; print("%d.%d" % sys.version_info[:2])')
ansible-test "$command" --color no --local --python "$python_version" "$@"
