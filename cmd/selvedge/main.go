// Selvedge runs Supabase Edge Functions on your own machines.
package main

import (
	"context"
	"os"

	"github.com/selvedge-dev/selvedge/internal/cli"
)

func main() {
	os.Exit(cli.Main(context.Background(), os.Args[1:], cli.Streams{In: os.Stdin, Out: os.Stdout, Err: os.Stderr}))
}
