"""CloudFormation on moto, with what moto lacks: the transforms, the rules, and outputs of change sets."""

import json
import os
import re
import urllib.parse

import yaml
from moto.awslambda.models import LambdaBackend, LambdaVersion, lambda_backends
from moto.cloudformation import models, parsing, responses
from moto.core import DEFAULT_ACCOUNT_ID
from moto.core.common_models import CloudFormationModel
from moto.s3.models import s3_backends
from samcli.lib.cfn_language_extensions.sam_integration import expand_language_extensions
from samcli.yamlhelper import yaml_parse
from samtranslator.translator.transform import transform

from function import ROOT

TEMPLATE = ROOT / "template.yaml"
REGION = "us-east-1"


class NoPolicies:
    """The translator asks for AWS's managed policies; the template names them by ARN."""

    def load(self):
        return {}


def read(template=None):
    """A template as CloudFormation is given it, in the long form of its functions."""
    return yaml_parse(template or TEMPLATE.read_text())


def expand(template, parameters):
    """A template after SAM's transform, with stand-ins for what moto makes nothing of. moto resolves the rest itself."""
    return with_stand_ins(translated(template, values(template, parameters))) if "Transform" in template else template


def extended(template, parameters):
    """A template after the language extensions, as the SAM CLI implements them; of a `Sub` they keep the text alone."""
    return expand_language_extensions(template, values(template, parameters), enabled=True).expanded_template


def values(template, parameters):
    """The values of all parameters, which are text also where they are numbers."""
    declared = template.get("Parameters", {})
    defaults = {name: str(about["Default"]) for name, about in declared.items() if "Default" in about}
    return {**defaults, **parameters}


def translated(template, parameters):
    """A template after the Serverless transform."""
    # The translator wants to know it for the partition.
    os.environ.setdefault("AWS_DEFAULT_REGION", REGION)
    return json.loads(json.dumps(transform(template, dict(parameters), NoPolicies()), default=str))


# Resources that moto's CloudFormation does not create, and the values of references to them.
STAND_INS = {
    ("Fn::GetAtt", ("UnsubscribeFunctionUrl", "FunctionUrl")): "https://of-the-function.lambda-url.us-east-1.on.aws/",
    ("Ref", "UnsubscribeSecret"): "arn:aws:secretsmanager:us-east-1:123456789012:secret:UnsubscribeSecret-AbCdEf",
}


def with_stand_ins(part):
    if isinstance(part, dict):
        if len(part) == 1:
            [(function, operand)] = part.items()
            reference = (function, tuple(operand) if isinstance(operand, list) and function == "Fn::GetAtt" else operand)
            if function in ("Ref", "Fn::GetAtt") and reference in STAND_INS:
                return STAND_INS[reference]
        return {name: with_stand_ins(value) for name, value in part.items()}
    return [with_stand_ins(value) for value in part] if isinstance(part, list) else part


def problems(template, parameters):
    """Checks what CloudFormation checks before it creates anything: parameters, then rules."""
    given, found = {}, []
    for name, declared in template.get("Parameters", {}).items():
        value = parameters.get(name, declared.get("Default"))
        if value is None:
            found.append(f"Parameters: [{name}] must have values")
            continue
        given[name] = str(value)
        is_list = declared["Type"] in ("CommaDelimitedList", "List<String>")
        for part in given[name].split(",") if is_list else [given[name]]:
            if not is_allowed(part, declared):
                found.append(f"Parameter {name} failed to satisfy constraint: {declared.get('ConstraintDescription')}")
        if is_list:
            given[name] = given[name].split(",")
    found += [f"Parameters: [{name}] do not exist in the template" for name in set(parameters) - set(given)]
    for rule in template.get("Rules", {}).values():
        for assertion in rule["Assertions"]:
            if not found and not holds(assertion["Assert"], given):
                found.append(assertion["AssertDescription"])
    return found


def is_allowed(value, declared):
    if declared["Type"] == "Number":
        number = float(value)
        if not declared.get("MinValue", number) <= number <= declared.get("MaxValue", number):
            return False
    allowed = declared.get("AllowedValues")
    if allowed and value not in map(str, allowed):
        return False
    return re.fullmatch(declared.get("AllowedPattern", ".*"), value, re.DOTALL) is not None


def holds(condition, values, conditions=None):
    """Evaluates the functions that rules and conditions may use; a condition may name others."""
    [(function, operands)] = condition.items()
    if function == "Ref":
        return values[operands]
    if function == "Condition":
        return holds(conditions[operands], values, conditions)
    operands = [holds(part, values, conditions) if isinstance(part, dict) else part for part in operands]
    match function:
        case "Fn::Or":
            return any(operands)
        case "Fn::And":
            return all(operands)
        case "Fn::Not":
            return not operands[0]
        case "Fn::Equals":
            return operands[0] == operands[1]
        case "Fn::Join":
            return operands[0].join(operands[1])
        case "Fn::Contains":
            return operands[1] in operands[0]
        case "Fn::EachMemberEquals":
            return all(member == operands[1] for member in operands[0])
    raise NotImplementedError(function)


def template_at(url, account_id, partition):
    bucket, key = urllib.parse.urlsplit(url).path.lstrip("/").split("/", 1)
    return s3_backends[account_id][partition].get_object(bucket, key).value.decode()


def resolved(stack_name, logical_id, region=REGION):
    """The properties of a resource of a stack on moto, which may be of a type that moto does not know."""
    stack = models.cloudformation_backends[DEFAULT_ACCOUNT_ID][region].get_stack(stack_name)
    return parsing.clean_json(stack.template_dict["Resources"][logical_id], stack.resource_map)["Properties"]


class Alias(CloudFormationModel):
    """An alias of a function, which moto has, and its CloudFormation has not."""

    # moto takes the name of the service from here.
    __module__ = "moto.awslambda.models"

    @staticmethod
    def cloudformation_name_type():
        return "Name"

    @staticmethod
    def cloudformation_type():
        return "AWS::Lambda::Alias"

    @classmethod
    def create_from_cloudformation_json(cls, resource_name, cloudformation_json, account_id, region_name, **more):
        properties = cloudformation_json["Properties"]
        backend = lambda_backends[account_id][region_name]
        made = cls()
        name, function, version = (properties[key] for key in ("Name", "FunctionName", "FunctionVersion"))
        made.physical_resource_id = backend.create_alias(name, function, str(version), "", "").arn
        return made


def teach_moto():
    """Makes stacks and change sets of moto do what they do in CloudFormation."""
    backend = models.CloudFormationBackend
    create_change_set, execute_change_set = backend.create_change_set, backend.execute_change_set

    def create(self, stack_name, change_set_name, template, parameters, *args, **more):
        declared = read(template)
        refused = problems(declared, parameters)
        if refused:
            raise models.ValidationError(message=refused[0])
        template = json.dumps(expand(declared, parameters), default=str)
        return create_change_set(self, stack_name, change_set_name, template, parameters, *args, **more)

    def execute(self, change_set_name, stack_name=None):
        # The last one, because a stack that is deleted leaves its change sets behind.
        change_set = [
            found for arn, found in self.change_sets.items() if change_set_name in (arn, found.change_set_name)
        ][-1]
        change_set_name = change_set.change_set_id
        execute_change_set(self, change_set_name, stack_name)
        stack = self.stacks[change_set.stack_id]
        stack.template_dict = yaml.safe_load(change_set.template)
        stack.output_map = stack._create_output_map()

    backend.create_change_set, backend.execute_change_set = create, execute
    # A queue's messages stay in it: moto would invoke the function in a container.
    LambdaBackend.send_sqs_batch = lambda self, *batch: False
    LambdaVersion.has_cfn_attr = classmethod(lambda cls, name: name == "Version")
    LambdaVersion.get_cfn_attribute = lambda self, name: self.version
    # SAM names it by the endpoint that it knows, /BUCKET/KEY.
    responses.get_stack_from_s3_url = template_at
    # It fails for an output of a resource that moto does not know, such as a function URL.
    parsing.ResourceMap.validate_outputs = lambda self: None
