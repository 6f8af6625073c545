package stack

// secrets are those of the way by hand. With selvedge deploy there are others,
// which no stack has to know the content of.
func secrets() []Resource {
	secret := func(name, suffix, parameter, what string) Resource {
		return Resource{Name: name, Type: "AWS::SecretsManager::Secret", Condition: "HasKeyParameters",
			DeletionPolicy: "Delete", UpdateReplacePolicy: "Delete",
			Properties: object("Name", Sub("${ProjectName}/${Environment}/"+suffix), "Description", what, "SecretString", Ref(parameter))}
	}
	first := secret("JwtSecretValue", "jwt-secret", "JWTSecret", "From the stack's parameter JWTSecret")
	first.Section = "Secrets of the way by hand"
	return []Resource{
		first,
		secret("AnonKeyValue", "anon-key", "AnonKey", "From the stack's parameter AnonKey"),
		secret("ServiceRoleKeyValue", "service-role-key", "ServiceRoleKey", "From the stack's parameter ServiceRoleKey"),
	}
}

// policy is a document of statements.
func policy(statements ...any) Map {
	return object("Version", "2012-10-17", "Statement", List(statements))
}

func allow(actions, resources any, more ...any) Map {
	return append(object("Effect", "Allow", "Action", actions, "Resource", resources), object(more...)...)
}

// taskTrust lets tasks of this account take a role, and no other account's.
func taskTrust() Map {
	return policy(object(
		"Effect", "Allow",
		"Principal", object("Service", "ecs-tasks.amazonaws.com"),
		"Action", "sts:AssumeRole",
		"Condition", object(
			"StringEquals", object("aws:SourceAccount", Ref("AWS::AccountId")),
			"ArnLike", object("aws:SourceArn", Sub("arn:${AWS::Partition}:ecs:${AWS::Region}:${AWS::AccountId}:*")))))
}

// rolePath makes the roles of a stack known by their ARNs: CloudFormation cuts
// the stack's name in that of a role.
const rolePath = Sub("/${ProjectName}/${Environment}/")

func roles() []Resource {
	arn := func(rest string) Sub { return Sub("arn:${AWS::Partition}:" + rest) }
	return []Resource{
		{Section: "Roles", Name: "ExecutionRole", Type: "AWS::IAM::Role",
			Comment: "What ECS itself may do to start a task: its image, its log, its secrets.",
			Properties: object(
				"Path", rolePath,
				"AssumeRolePolicyDocument", taskTrust(),
				"Policies", List{object("PolicyName", "start-tasks", "PolicyDocument", policy(
					allow("ecr:GetAuthorizationToken", "*"),
					allow(List{"ecr:BatchCheckLayerAvailability", "ecr:BatchGetImage", "ecr:GetDownloadUrlForLayer"},
						arn("ecr:${AWS::Region}:${AWS::AccountId}:repository/"+string(stackName))),
					allow(List{"logs:CreateLogStream", "logs:PutLogEvents"},
						GetAtt("LogGroup.Arn")),
					allow("secretsmanager:GetSecretValue", List{
						If{"HasKeysSecret", Ref("KeysSecretArn"), noValue},
						If{"HasKeyParameters", Ref("JwtSecretValue"), noValue},
						If{"HasKeyParameters", Ref("AnonKeyValue"), noValue},
						If{"HasKeyParameters", Ref("ServiceRoleKeyValue"), noValue},
						If{"HasFunctionSecrets", Ref("FunctionSecretsArn"), noValue},
					}),
				))},
			)},
		{Name: "TaskRole", Type: "AWS::IAM::Role", Condition: "HasTaskRole",
			Comment: "What the containers may do. Without tracing and exec there is no such role, so\nthat there is nothing to steal.",
			Properties: object(
				"Path", rolePath,
				"AssumeRolePolicyDocument", taskTrust(),
				"Policies", List{object("PolicyName", "tracing-and-exec", "PolicyDocument", policy(
					If{"HasTracing", allow(List{"xray:PutTraceSegments", "xray:PutTelemetryRecords"}, "*"), noValue},
					If{"HasExec", allow(List{"ssmmessages:CreateControlChannel", "ssmmessages:CreateDataChannel", "ssmmessages:OpenControlChannel", "ssmmessages:OpenDataChannel"}, "*"), noValue},
				))},
			)},
	}
}
