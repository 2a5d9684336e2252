// Command runsc is gVisor's sandbox process, `runsc boot`, without the rest of the OCI runtime:
// Monopod makes the sandbox's jail itself, so nothing that sets up namespaces or mounts is needed.
package main

import (
	"github.com/google/subcommands"

	"gvisor.dev/gvisor/runsc/cli"
	"gvisor.dev/gvisor/runsc/cmd/sentry/sentrycmd"
	"gvisor.dev/gvisor/runsc/cmd/util"
)

func main() {
	cli.Run(nil, map[util.SubCommand]string{new(sentrycmd.Boot): ""}, []subcommands.Command{})
}
