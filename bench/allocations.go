package main

import (
	"context"
	"fmt"
	"regexp"
	"strconv"
)

// allocations runs the gateway's own Go benchmark for what it counts.
func allocations(ctx context.Context, l *lab) ([]Row, error) {
	out, err := output(ctx, l.root, "go", "test", "-run", "^$", "-bench", "^BenchmarkGateway$/^function$",
		"-benchmem", "-benchtime", strconv.Itoa(l.samples(80000))+"x", "-count", strconv.Itoa(max(2, l.samples(5))), "./internal/gateway")
	if err != nil {
		return nil, err
	}
	found := regexp.MustCompile(`(?m)^BenchmarkGateway/function\S*\s.*?\s(\d+) B/op\s+(\d+) allocs/op$`).FindAllStringSubmatch(out, -1)
	if found == nil {
		return nil, fmt.Errorf("go test ran no BenchmarkGateway/function:\n%s", out)
	}
	var each, bytes Series
	for _, m := range found {
		for i, series := range []*Series{&bytes, &each} {
			v, err := strconv.ParseFloat(m[i+1], 64)
			if err != nil {
				return nil, err
			}
			*series = append(*series, v)
		}
	}
	row := Row{
		Name: "gateway-allocations", Unit: "allocs", Floor: 40, Aim: 15,
		What:  "allocations for one request carried, by BenchmarkGateway in internal/gateway: server, chain and client",
		Notes: []string{"bytes allocated for a request: " + bytes.text("B")},
	}
	row.absolute(each)
	return []Row{row}, nil
}
