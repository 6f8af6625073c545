// Package stack is what Selvedge is on AWS: the two CloudFormation templates
// with their parameters, and the rights that deploying them takes, as data.
//
// The templates are made by Service and Registry, and committed as
// aws-cloudformation.yaml and aws-registry.yaml. Template.Check says what is
// wrong with parameters before AWS is asked, Template.Resolve what a template
// comes to with them. Nothing here talks to AWS, or knows anything else of
// Selvedge.
package stack

//go:generate go test . -run TestCommittedFiles -update
