// Command fortio is Fortio's echo server with the interface by which it is told to load others.
// Upstream's own command links a scripting language beside that, which is not needed here.
package main

import (
	"fmt"
	"os"

	"fortio.org/fortio/fhttp"
	"fortio.org/fortio/rapi"
	"fortio.org/fortio/version"
)

func main() {
	switch {
	case len(os.Args) == 2 && os.Args[1] == "version":
		fmt.Println("fortio " + version.Short())
	case len(os.Args) == 3 && os.Args[1] == "server":
		serve(os.Args[2])
	default:
		fmt.Fprintln(os.Stderr, "usage: fortio version | fortio server [ADDRESS:]PORT")
		os.Exit(2)
	}
}

func serve(port string) {
	mux, bound := fhttp.Serve(port, "")
	if bound == nil {
		os.Exit(1)
	}
	rapi.AddHandlers(mux, "", "/fortio/", os.TempDir())
	select {}
}
