"""What pyproject.toml cannot say: which folders at the top of the repository stand inside the installed package."""

from setuptools import find_packages, setup


setup(
    packages=[*find_packages(include=["hrm_hf", "hrm_hf.*"]), "hrm_hf.model_cards", "hrm_hf.recipes"],
    package_dir={"hrm_hf.model_cards": "model_cards", "hrm_hf.recipes": "recipes"},
    package_data={
        "hrm_hf.model_cards": ["*.md"],
        "hrm_hf.recipes": ["*.yaml", "accelerate/*"],
        "hrm_hf.app": ["client/*"],
        "hrm_hf": ["pretrained/*/*", "spaces_app/*", "constraints*.txt"],
    },
)
