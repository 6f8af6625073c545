package stack

// Registry is the template of the repository, aws-registry.yaml. It is a stack
// of its own because the service's first tasks need an image that somebody has
// pushed.
func Registry() *Template {
	var own []Parameter
	for _, p := range serviceParameters() {
		if p.Name == "ProjectName" || p.Name == "Environment" {
			own = append(own, p)
		}
	}
	return &Template{
		Head: `The repository for the images of Supabase Edge Functions on AWS. It comes before
aws-cloudformation.yaml, whose tasks need an image that was pushed.

Made by "make generate" from internal/stack, where changes belong.`,
		Description: "Repository for the images of Supabase Edge Functions",
		Parameters:  own,
		Resources: []Resource{{
			Name: "Repository", Type: "AWS::ECR::Repository", DeletionPolicy: "Delete", UpdateReplacePolicy: "Retain",
			Properties: object(
				"RepositoryName", stackName,
				"ImageTagMutability", "IMMUTABLE",
				"ImageScanningConfiguration", object("ScanOnPush", true),
				"EncryptionConfiguration", object("EncryptionType", "AES256"),
				"EmptyOnDelete", true,
				"LifecyclePolicy", object("LifecyclePolicyText", keep20)),
		}},
		Outputs: []Output{
			{Name: "RepositoryUri", Description: "Where images are pushed to", Value: GetAtt("Repository.RepositoryUri")},
			{Name: "RepositoryName", Description: "The repository's name", Value: Ref("Repository")},
		},
	}
}

// keep20 is the policy of which images are kept.
const keep20 = `{
  "rules": [
    {
      "rulePriority": 1,
      "description": "keep the last 20 images",
      "selection": {"tagStatus": "any", "countType": "imageCountMoreThan", "countNumber": 20},
      "action": {"type": "expire"}
    }
  ]
}
`
