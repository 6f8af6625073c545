module github.com/selvedge-dev/selvedge

go 1.26.8
