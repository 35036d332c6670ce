r"""Build a text data set folder (blocks of tokens and their tokenizer) that `datasets.load_dataset` opens.

python dataset_scripts/build_text.py data/books --input books/ --train-bpe 8192
python dataset_scripts/build_text.py data/docs --input 'docs/**/*.txt' --document-separator '\n\n\n' --tokenizer gpt2
python dataset_scripts/build_text.py data/wiki --input Salesforce/wikitext --config-name wikitext-103-raw-v1 \
    --validation-input Salesforce/wikitext --tokenizer mistral-v0.1
python dataset_scripts/build_text.py --help
"""

import find_package  # noqa: F401  where the package is, if it is not installed

from hrm_hf.data.script import run_script
from hrm_hf.text.build import build_text


if __name__ == "__main__":
    run_script(build_text)
