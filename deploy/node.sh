# What a node of a cluster needs in its environment before Ray starts there, and whoever speaks to
# that Ray. To be sourced: `. ~/sluice/deploy/node.sh`. cluster.yaml and gcp.yaml do.
cd "$HOME/sluice" || return 1

# Not in git, the same on all nodes; docs/deploy.md says how to make them.
if [ ! -r deploy/secrets.env ]; then
    echo "sluice: there is no deploy/secrets.env; docs/deploy.md says how to make it" >&2
    return 1
fi
set -a
. deploy/secrets.env
set +a
export RAY_AUTH_MODE=token     # RAY_AUTH_TOKEN is one of the secrets

export PATH="$HOME/sluice/.venv/bin:$PATH"
eval "$(python -m serve_app.environment)"

# How often the autoscaler looks around. Its own 5 s would be half of what it takes to ask for a node.
export AUTOSCALER_UPDATE_INTERVAL_S="${AUTOSCALER_UPDATE_INTERVAL_S:-2}"
