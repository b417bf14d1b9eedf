"""Training: recipes, data, and one program for each stage.

    pretrain    the encoder predicts what a teacher says of frames to come
    features    a teacher is asked once, for many runs of pretrain
    classify    the encoder tells classes of video apart
    align       the projector learns the language model's words
    instruct    the language model learns to answer, by LoRA or in full
    dpo         it learns which of two answers is wanted, by LoRA

Each runs as `videollm STAGE RECIPE --key value` or `python -m videollm.train.STAGE`, and
`accelerate launch -m videollm.train.STAGE RECIPE` on several devices. The loop is the Hugging
Face Trainer's; what is here gives it data, models, callbacks and recipes.

    arguments, *_arguments, fields, recipe  what can be set, and where it comes from
    stage, checkpoints, callbacks, parts    one run: resume, watch, what learns and how fast
    progress, records, summary, held_out    what a run tells: speed, records, a page, answers
    averaging, pictures                     what else can watch: an average of the weights, pictures
    sharding, tuning, adapter_arguments, run_card
                                            weights on several processes, which of them learn, and
                                            what is written in the end
    draws, masks                            numbered draws, and the randomness that they carry
    toyworld_data, scene_targets            scenes as batches for pretrain and align
    pretrain_data, pretrain_batches         what pretrain learns from
    teaching, feature_cache                 a teacher beside the loop, or its features on disk
    video_lists, video_entries, text_lists, published_lists, video_shards
                                            lists of videos in every layout
    video_clips, decoding, views, augment, rand_augment, mixing
                                            clips of listed videos, and what is done to them
    classify_data, classify_sets, classify_results
                                            views to learn from and to be tested on, and scores
    toyworld_dialogues, dialogue_*          clips with dialogues for align and instruct
    pairs, pair_collator, preference        two answers to one prompt, and TRL's trainer for dpo
    choice, frame_budget, mixture           which samples, how many frames, how much of each set
    lengths, rows, shared_media             which samples fit together, which are about one video
    video_files, examples, collate, answer_spans
                                            real files, bad samples, packing, what is supervised
    data_check, data_findings, data_report  `videollm data check`: what is wrong before a run
    building, words                         models for the stages
"""
