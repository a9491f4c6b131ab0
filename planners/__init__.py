"""Plans: the language they are written in, the planners that write them, and the joiner."""

from plait.planners._chosen_examples import ExampleFinder
from plait.planners._compiler import CompilerPlanner
from plait.planners._context import (
    Answer,
    AnswerText,
    Joiner,
    JoinerStep,
    Offer,
    PastCall,
    PastTurn,
    PlanContext,
    Planner,
    PlannerStep,
    PlanText,
    Replan,
    Status,
    TaskOutcome,
)
from plait.planners._dialects import DialectName, argument_names, print_plan
from plait.planners._editing import read_value, written_value
from plait.planners._grammar import plan_grammar, step_grammar
from plait.planners._joiner import ModelJoiner, ResultsJoiner
from plait.planners._moments import is_day, resolve_moment, resolve_moments
from plait.planners._native import NativePlanner
from plait.planners._parser import JSONPlanParser, PlanParser, parse_plan
from plait.planners._plan import (
    Plan,
    Ref,
    Task,
    Template,
    Value,
    make_text,
    print_value,
    references,
    substitute,
)
from plait.planners._prompts import PlanExample, describe_conversation, json_value
from plait.planners._react import ReactPlanner
from plait.planners._retrieving import RetrievingPlanner
from plait.planners._tuned import TunedPlanner

__all__ = [
    "Answer",
    "AnswerText",
    "CompilerPlanner",
    "DialectName",
    "ExampleFinder",
    "JSONPlanParser",
    "Joiner",
    "JoinerStep",
    "ModelJoiner",
    "NativePlanner",
    "Offer",
    "PastCall",
    "PastTurn",
    "Plan",
    "PlanContext",
    "PlanExample",
    "PlanParser",
    "PlanText",
    "Planner",
    "PlannerStep",
    "ReactPlanner",
    "Ref",
    "Replan",
    "ResultsJoiner",
    "RetrievingPlanner",
    "Status",
    "Task",
    "TaskOutcome",
    "Template",
    "TunedPlanner",
    "Value",
    "argument_names",
    "describe_conversation",
    "is_day",
    "json_value",
    "make_text",
    "parse_plan",
    "plan_grammar",
    "print_plan",
    "print_value",
    "read_value",
    "references",
    "resolve_moment",
    "resolve_moments",
    "step_grammar",
    "substitute",
    "written_value",
]
