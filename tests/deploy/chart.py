"""Renders the chart by Helm's SDK, checks it by the schemas of Kubernetes, and prints the result as JSON."""

import json
import sys

import helm_python as helm
import kubernetes_validate
import yaml

KUBERNETES = "1.37"


def checked(document):
    """Why the document is not valid, or None; unknown members are not valid either. Without a schema: "no schema"."""
    try:
        kubernetes_validate.validate(document, KUBERNETES, strict=True)
    except kubernetes_validate.SchemaNotFoundError:
        return "no schema"
    except kubernetes_validate.ValidationError as error:
        return f"{error.path}: {error.message}"
    return None


def rendered(chart, values):
    """The documents of the chart with these values, or why there are none."""
    try:
        chart.validate_schema(values)
        files = chart.render(values, name="offswitch", namespace="auth")
    except helm.HelmError as error:
        return {"error": str(error)}
    texts = [text for path, text in sorted(files.items()) if path.endswith(".yaml")]
    documents = [one for text in texts for one in yaml.safe_load_all(text) if one]
    return {"documents": [{"document": one, "problem": checked(one)} for one in documents]}


def main():
    path, values = sys.argv[1], json.load(sys.stdin)
    lint = helm.lint(path, values["LEAST"])
    with helm.Chart.load(path) as chart:
        result = {name: rendered(chart, one) for name, one in values.items()}
    json.dump({"lint": lint, "rendered": result, "helm": helm.helm_sdk_version()}, sys.stdout, default=str)


main()
