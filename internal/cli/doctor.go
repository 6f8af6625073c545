package cli

import (
	"github.com/spf13/cobra"
)

func newDoctor(s Streams) *cobra.Command { return &cobra.Command{Use: "doctor"} }
